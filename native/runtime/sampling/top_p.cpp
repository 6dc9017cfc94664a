// Top-p, nucleus sampling (Holtzman et al., 2019, section 3.1): keeps the smallest set of most probable
// tokens whose probabilities sum to at least p, ties by lowest id. Instead of sorting the row, it finds the
// boundary by repeated partitioning, among the tokens near the maximum if their mass suffices.
#include <algorithm>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

// Distances below the largest logit within which to search for the nucleus, near to far.
constexpr float kRanges[] = {3, 8, kLogitRange};

class TopP final : public Step {
public:
    explicit TopP(double p) : p_(p) {}
    void apply(Row& row) override {
        if (p_ == 1) return;
        float top = 0;
        max_logit(row.logits_V, top);
        Scratch& s = row.scratch;
        softmax_weights(row.logits_V, top, s);
        const double target = p_ * sum({s.weights.data(), s.n_candidates});
        gather(top, target, s);
        const float bound = boundary(target, s);
        double above = 0, weight = 0;
        for (uint32_t i : s.positions) {
            if (s.logits[i] > bound) above += s.weights[i];
            if (s.logits[i] == bound) weight = s.weights[i];
        }
        size_t n_equal = 1;
        for (above += weight; above < target && n_equal < row.logits_V.size(); above += weight) ++n_equal;
        keep_top(row.logits_V, bound, n_equal);
    }

private:
    // Fills s.positions with the candidates near the maximum whose total weight reaches `target`.
    static void gather(float top, double target, Scratch& s) {
        for (float range : kRanges) {
            s.positions.resize(s.n_candidates);
            const float bound = top - range;
            size_t n = 0;
            for (uint32_t i = 0; i < s.n_candidates; ++i) {
                s.positions[n] = i;
                n += s.logits[i] >= bound;
            }
            s.positions.resize(n);
            double inside = 0;
            for (uint32_t i : s.positions) inside += s.weights[i];
            if (inside >= target) return;
        }
    }

    // The logit at which the cumulative weight, in descending order, reaches `target`.
    static float boundary(double target, Scratch& s) {
        const auto by_logit = [&s](uint32_t a, uint32_t b) { return s.logits[a] > s.logits[b]; };
        auto low = s.positions.begin(), high = s.positions.end();
        double above = 0;
        while (high - low > 32) {
            const auto middle = low + (high - low) / 2;
            std::nth_element(low, middle, high, by_logit);
            double half = 0;
            for (auto it = low; it != middle; ++it) half += s.weights[*it];
            if (above + half >= target) {
                high = middle;
            } else {
                above += half;
                low = middle;
            }
        }
        std::sort(low, high, by_logit);
        auto at = low;
        while (at + 1 < high && (above += s.weights[*at]) < target) ++at;
        return s.logits[*at];
    }

    double p_;
};

}  // namespace

StepResult make_top_p(const StepFields& fields) {
    Result<double> p = single_field(fields, "top_p");
    if (!p.ok()) return p.error();
    if (p.value() <= 0 || p.value() > 1) return invalid("`top_p` must be above 0 and at most 1");
    return StepResult(std::make_unique<TopP>(p.value()));
}

}  // namespace zp
