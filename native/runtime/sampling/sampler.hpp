// From a row of logits to one token id: the steps in order, then a seeded draw.
// The numpy form is src/zeropoint/sampling/draw.py.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "runtime/sampling/step.hpp"

namespace zp {

// A step by name, with its fields: {"top_k", {{"top_k", 40}}}.
struct SamplerStep {
    std::string name;
    std::vector<std::pair<std::string, double>> fields;
};

// One sequence's sampler; it keeps scratch memory, so one thread at a time uses it.
class Sampler {
public:
    // Steps run in the order given. Fails on a name without a native form or on wrong fields.
    static Result<Sampler> make(const std::vector<SamplerStep>& steps, uint64_t seed);

    // The names that `make` knows.
    static std::vector<std::string> step_names();

    // Draws a token; -1 if the logits hold NaN or +infinity, or rule out every token.
    // logits_V: [V], modified. history: the sequence so far, its first n_prompt tokens the prompt.
    // position: index in the sequence of the token to draw.
    int32_t sample(std::span<float> logits_V, std::span<const int32_t> history, uint64_t position,
                   size_t n_prompt = 0);

    // All steps and no draw. False, and nothing done, where `sample` would give -1 for the row.
    bool apply(std::span<float> logits_V, std::span<const int32_t> history, size_t n_prompt = 0);

private:
    Sampler(std::vector<std::unique_ptr<Step>> steps, uint64_t seed);
    int32_t draw(std::span<const float> logits_V, uint64_t position);

    std::vector<std::unique_ptr<Step>> steps_;
    uint64_t seed_;
    std::unique_ptr<Scratch> scratch_;
};

}  // namespace zp
