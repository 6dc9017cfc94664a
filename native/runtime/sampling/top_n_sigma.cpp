// Top-n-sigma (Tang et al., 2024, algorithm 1): keeps logits within n standard deviations of the largest.
#include <cmath>
#include <limits>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class TopNSigma final : public Step {
public:
    explicit TopNSigma(double n) : n_(n) {}
    void apply(Row& row) override {
        if (n_ == 0) return;
        double sum = 0, squares = 0, count = 0;
        for (const float logit : row.logits_V) {
            if (!std::isfinite(logit)) continue;
            sum += logit;
            ++count;
        }
        const double mean = sum / count;
        for (const float logit : row.logits_V) {
            if (std::isfinite(logit)) squares += (logit - mean) * (logit - mean);
        }
        float top = 0;
        max_logit(row.logits_V, top);
        const double bound = top - n_ * std::sqrt(squares / count);
        for (float& logit : row.logits_V) {
            logit = logit >= bound ? logit : -std::numeric_limits<float>::infinity();
        }
    }

private:
    double n_;
};

}  // namespace

StepResult make_top_n_sigma(const StepFields& fields) {
    Result<double> n = single_field(fields, "top_n_sigma");
    if (!n.ok()) return n.error();
    if (n.value() < 0) return invalid("`top_n_sigma` must not be negative");
    return StepResult(std::make_unique<TopNSigma>(n.value()));
}

}  // namespace zp
