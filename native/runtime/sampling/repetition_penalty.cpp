// Repetition penalty (Keskar et al., 2019, section 4.1) over prompt and answer.
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class RepetitionPenalty final : public Step {
public:
    explicit RepetitionPenalty(float penalty) : penalty_(penalty) {}
    void apply(Row& row) override {
        for_each_distinct(row, row.history, [this](float& logit, uint32_t) {
            logit = logit > 0 ? logit / penalty_ : logit * penalty_;
        });
    }

private:
    float penalty_;
};

}  // namespace

StepResult make_repetition_penalty(const StepFields& fields) {
    Result<double> penalty = single_field(fields, "repetition_penalty");
    if (!penalty.ok()) return penalty.error();
    return StepResult(std::make_unique<RepetitionPenalty>(static_cast<float>(penalty.value())));
}

}  // namespace zp
