// Repetition penalty (Keskar and others 2019, section 4.1) over the whole sequence.
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class RepetitionPenalty final : public Step {
public:
    explicit RepetitionPenalty(float penalty) : penalty_(penalty) {}
    void apply(Row& row) const override {
        for_each_seen(row, row.history, [this](float& logit, uint32_t) {
            logit = logit > 0 ? logit / penalty_ : logit * penalty_;
        });
    }

private:
    float penalty_;
};

}  // namespace

StepResult make_repetition_penalty(const StepFields& fields) {
    Result<double> penalty = only_field(fields, "repetition_penalty");
    if (!penalty.ok()) return penalty.error();
    return StepResult(std::make_unique<RepetitionPenalty>(static_cast<float>(penalty.value())));
}

}  // namespace zp
