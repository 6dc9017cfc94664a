// Min-p (Nguyen et al., 2024, section 3): keeps tokens at least min_p times as probable as the most probable.
#include <cmath>
#include <limits>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class MinP final : public Step {
public:
    explicit MinP(double log_min_p) : log_min_p_(log_min_p) {}
    void apply(Row& row) override {
        float top = 0;
        max_logit(row.logits_V, top);
        const double best = top;
        for (float& logit : row.logits_V) {
            logit = logit - best >= log_min_p_ ? logit : -std::numeric_limits<float>::infinity();
        }
    }

private:
    double log_min_p_;  // p_i / p_max = exp(l_i - l_max)
};

}  // namespace

StepResult make_min_p(const StepFields& fields) {
    Result<double> min_p = single_field(fields, "min_p");
    if (!min_p.ok()) return min_p.error();
    if (min_p.value() < 0 || min_p.value() > 1) return invalid("`min_p` must be 0 to 1");
    return StepResult(std::make_unique<MinP>(std::log(min_p.value())));
}

}  // namespace zp
