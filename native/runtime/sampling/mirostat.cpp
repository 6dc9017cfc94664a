// Mirostat (Basu et al., 2021), in its authors' second version: keeps the tokens of at most mu bits of
// surprise, and moves mu by how far the surprise of the drawn token is from the target.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class Mirostat final : public Step {
public:
    Mirostat(double tau, double eta) : tau_(tau), eta_(eta), mu_(2 * tau) {}

    void apply(Row& row) override {
        if (tau_ == 0) return;
        float top = 0;
        max_logit(row.logits_V, top);
        const double best = top;
        softmax_weights(row.logits_V, top, row.scratch);
        const double bound = std::min(log_total(row.scratch) - mu_ * std::numbers::ln2, 0.0);
        for (float& logit : row.logits_V) {
            logit = logit - best >= bound ? logit : -std::numeric_limits<float>::infinity();
        }
    }

    void observe(Row& row, int32_t token) override {
        float top = 0;
        max_logit(row.logits_V, top);
        softmax_weights(row.logits_V, top, row.scratch);
        const double below = row.logits_V[static_cast<size_t>(token)] - static_cast<double>(top);
        mu_ -= eta_ * ((log_total(row.scratch) - below) / std::numbers::ln2 - tau_);
    }

private:
    static double log_total(const Scratch& s) { return std::log(sum({s.weights.data(), s.n_candidates})); }

    double tau_, eta_, mu_;
};

}  // namespace

StepResult make_mirostat(const StepFields& fields) {
    const Result<std::vector<double>> values =
        named_fields(fields, "mirostat", {"mirostat_tau", "mirostat_eta"});
    if (!values.ok()) return values.error();
    const double tau = values.value()[0], eta = values.value()[1];
    if (tau < 0 || eta < 0) return invalid("`mirostat_tau` and `mirostat_eta` must not be negative");
    return StepResult(std::make_unique<Mirostat>(tau, eta));
}

}  // namespace zp
