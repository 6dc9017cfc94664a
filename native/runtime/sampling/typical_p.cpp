// Locally typical sampling (Meister et al., 2023, section 4): keeps the tokens whose surprise is closest to
// the expected one, up to a total probability of p, ties by lowest id.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class TypicalP final : public Step {
public:
    explicit TypicalP(double p) : p_(p) {}
    void apply(Row& row) override {
        if (p_ == 1) return;
        float top = 0;
        max_logit(row.logits_V, top);
        Scratch& s = row.scratch;
        softmax_weights(row.logits_V, top, s);
        const size_t n = s.n_candidates;
        const double total = sum({s.weights.data(), n}), best = top;
        double expected = 0;  // of logit - top, whose distance from the surprise is the same for all tokens
        for (size_t i = 0; i < n; ++i) expected += s.weights[i] * (s.logits[i] - best);
        expected /= total;
        s.positions.resize(n);
        std::iota(s.positions.begin(), s.positions.end(), 0u);
        const auto distance = [&](uint32_t i) { return std::abs(s.logits[i] - best - expected); };
        std::stable_sort(s.positions.begin(), s.positions.end(),
                         [&](uint32_t a, uint32_t b) { return distance(a) < distance(b); });
        double kept = 0;
        size_t n_kept = 0;
        while (n_kept < n && (n_kept == 0 || kept < p_ * total)) kept += s.weights[s.positions[n_kept++]];
        for (float& logit : row.logits_V) logit = -std::numeric_limits<float>::infinity();
        for (size_t i = 0; i < n_kept; ++i) {
            const uint32_t at = s.positions[i];
            row.logits_V[static_cast<size_t>(s.ids[at])] = s.logits[at];
        }
    }

private:
    double p_;
};

}  // namespace

StepResult make_typical_p(const StepFields& fields) {
    Result<double> p = single_field(fields, "typical_p");
    if (!p.ok()) return p.error();
    if (p.value() <= 0 || p.value() > 1) return invalid("`typical_p` must be above 0 and at most 1");
    return StepResult(std::make_unique<TypicalP>(p.value()));
}

}  // namespace zp
