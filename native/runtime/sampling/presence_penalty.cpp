// Presence penalty (OpenAI API reference): subtracts the penalty once from the logit of each answer token.
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class PresencePenalty final : public Step {
public:
    explicit PresencePenalty(float penalty) : penalty_(penalty) {}
    void apply(Row& row) override {
        for_each_distinct(row, row.answer(), [this](float& logit, uint32_t) { logit -= penalty_; });
    }

private:
    float penalty_;
};

}  // namespace

StepResult make_presence_penalty(const StepFields& fields) {
    Result<double> penalty = single_field(fields, "presence_penalty");
    if (!penalty.ok()) return penalty.error();
    return StepResult(std::make_unique<PresencePenalty>(static_cast<float>(penalty.value())));
}

}  // namespace zp
