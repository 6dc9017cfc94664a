// Samples a token id from a row of logits: applies the sampling steps in order, then draws with a seed. The
// numpy reference is src/zeropoint/sampling/draw.py.
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

// A sampling step by name, with its fields: {"top_k", {{"top_k", 40}}}. A field named "198" is that of token
// 198.
struct SamplerStep {
    std::string name;
    std::vector<std::pair<std::string, double>> fields;
};

// The sampler of one sequence. Not thread-safe: it reuses scratch memory.
class Sampler {
public:
    // Steps run in the given order. kInvalid for an unknown step or invalid fields.
    static Result<Sampler> make(const std::vector<SamplerStep>& steps, uint64_t seed);

    // Names of all native sampling steps.
    static std::vector<std::string> step_names();

    // Draws a token; -1 if the logits contain NaN or +infinity, or exclude every token. logits_V: [V],
    // modified. history: the sequence so far, of which the first n_prompt tokens are the prompt. position:
    // index in the sequence of the token to draw.
    int32_t sample(std::span<float> logits_V, std::span<const int32_t> history, uint64_t position,
                   size_t n_prompt = 0);

    // Applies the steps without drawing. Returns false, leaving the row unchanged, if its maximum is not
    // finite.
    bool apply(std::span<float> logits_V, std::span<const int32_t> history, size_t n_prompt = 0);

private:
    Sampler(std::vector<std::unique_ptr<Step>> steps, uint64_t seed);
    Row row_of(std::span<float> logits_V, std::span<const int32_t> history, size_t n_prompt);
    int32_t draw(std::span<const float> logits_V, uint64_t position);

    std::vector<std::unique_ptr<Step>> steps_;
    uint64_t seed_;
    std::unique_ptr<Scratch> scratch_;
};

}  // namespace zp
