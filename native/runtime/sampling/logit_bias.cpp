// Logit bias (OpenAI API reference): adds a number to the logits of chosen tokens. Each field is a token id.
#include "runtime/sampling/step.hpp"

namespace zp {
namespace {

class LogitBias final : public Step {
public:
    explicit LogitBias(std::vector<TokenField> biases) : biases_(std::move(biases)) {}
    void apply(Row& row) override {
        for (const TokenField& bias : biases_) {
            if (bias.token < row.logits_V.size()) row.logits_V[bias.token] += static_cast<float>(bias.value);
        }
    }

private:
    std::vector<TokenField> biases_;
};

}  // namespace

StepResult make_logit_bias(const StepFields& fields) {
    SplitFields split = split_fields(fields);
    if (!split.named.empty()) return invalid("sampling step `logit_bias` takes token ids only");
    return StepResult(std::make_unique<LogitBias>(std::move(split.tokens)));
}

}  // namespace zp
