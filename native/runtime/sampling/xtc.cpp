// XTC, "exclude top choices" (Weidmann, 2024): with some probability, drops all tokens of at least the
// threshold but the least likely of them.
#include <cmath>
#include <limits>

#include "runtime/sampling/splitmix.hpp"
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

constexpr uint64_t kStream = 0x5854435F74657374;  // separates these random numbers from those that draw

class Xtc final : public Step {
public:
    Xtc(double probability, double threshold) : probability_(probability), threshold_(threshold) {}
    void apply(Row& row) override {
        if (uniform(row.seed ^ kStream, row.history.size()) >= probability_) return;
        float top = 0;
        max_logit(row.logits_V, top);
        Scratch& s = row.scratch;
        softmax_weights(row.logits_V, top, s);
        const double bound = std::log(threshold_) + std::log(sum({s.weights.data(), s.n_candidates}));
        const double best = top;
        size_t n_likely = 0, least = 0;
        for (size_t i = 0; i < s.n_candidates; ++i) {
            if (s.logits[i] - best < bound) continue;
            if (n_likely++ == 0 || s.logits[i] <= s.logits[least]) least = i;  // of equals, the highest id
        }
        if (n_likely < 2) return;
        for (size_t i = 0; i < s.n_candidates; ++i) {
            if (i != least && s.logits[i] - best >= bound)
                row.logits_V[static_cast<size_t>(s.ids[i])] = -std::numeric_limits<float>::infinity();
        }
    }

private:
    double probability_, threshold_;
};

}  // namespace

StepResult make_xtc(const StepFields& fields) {
    const Result<std::vector<double>> values =
        named_fields(fields, "xtc", {"xtc_probability", "xtc_threshold"});
    if (!values.ok()) return values.error();
    const double probability = values.value()[0], threshold = values.value()[1];
    if (probability < 0 || probability > 1 || threshold <= 0 || threshold > 1)
        return invalid("`xtc_probability` must be 0 to 1, and `xtc_threshold` above 0");
    return StepResult(std::make_unique<Xtc>(probability, threshold));
}

}  // namespace zp
