// Temperature: divides the logits. At 0 (greedy) keeps only the most probable token, ties by lowest id.
#include <algorithm>

#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class Temperature final : public Step {
public:
    explicit Temperature(double temperature) : temperature_(temperature) {}
    void apply(Row& row) override {
        if (temperature_ == 0) {
            float top = 0;
            max_logit(row.logits_V, top);
            keep_top(row.logits_V, top, 1);
            return;
        }
        // Smaller divisors would overflow to infinity; at this one, sampling is already greedy.
        const float divisor = static_cast<float>(std::max(temperature_, 1e-6));
        for (float& logit : row.logits_V) logit /= divisor;
    }

private:
    double temperature_;
};

}  // namespace

StepResult make_temperature(const StepFields& fields) {
    Result<double> temperature = single_field(fields, "temperature");
    if (!temperature.ok()) return temperature.error();
    if (temperature.value() < 0) return invalid("`temperature` must not be negative");
    return StepResult(std::make_unique<Temperature>(temperature.value()));
}

}  // namespace zp
