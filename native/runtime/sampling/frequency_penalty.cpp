// Frequency penalty (OpenAI API reference): subtracts the penalty from the logit of each answer token once
// per occurrence.
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class FrequencyPenalty final : public Step {
public:
    explicit FrequencyPenalty(float penalty) : penalty_(penalty) {}
    void apply(Row& row) override {
        for_each_distinct(row, row.answer(), [this](float& logit, uint32_t count) {
            logit -= static_cast<float>(count) * penalty_;
        });
    }

private:
    float penalty_;
};

}  // namespace

StepResult make_frequency_penalty(const StepFields& fields) {
    Result<double> penalty = single_field(fields, "frequency_penalty");
    if (!penalty.ok()) return penalty.error();
    return StepResult(std::make_unique<FrequencyPenalty>(static_cast<float>(penalty.value())));
}

}  // namespace zp
