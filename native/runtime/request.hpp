// A request to generate text, and the events that report its progress.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "model/interventions.hpp"
#include "runtime/sampling/sampler.hpp"

namespace zp {

struct GenerateRequest {
    std::vector<int32_t> prompt;
    Sampler sampler;
    std::unordered_set<int32_t> stop_ids;  // tokens that end the answer without being part of it
    int max_tokens = 0;                    // 0: generate until a stop token or the end of the context
    bool wants_logprob = false;            // report the log-probability of each token
    std::shared_ptr<const Interventions> interventions = nullptr;  // null: none
    int n_top_logprobs = 0;  // with wants_logprob: also report this many of the most probable tokens
    std::vector<int32_t> logprob_ids = {};  // ... and these tokens, after the most probable ones
};

// What the caller knows about the next tokens of a request. Used once, by the step that samples the next one.
struct Steering {
    std::vector<int32_t> draft;  // guesses of the next tokens, which one pass verifies together (Leviathan et
                                 // al., "Fast inference from transformers via speculative decoding", 2023)
    std::vector<uint32_t> masks;  // [1 + draft, mask_words(V)] bit v % 32 of word v / 32: token v is allowed;
                                  // row j is of the token after j guesses. Empty: all are allowed
};

inline size_t mask_words(int n_vocab) { return (static_cast<size_t>(n_vocab) + 31) / 32; }

enum class Finish { kNone, kStop, kLength, kCancelled };

struct TokenLogprob {
    int32_t token;
    float logprob;
};

// One step of one request. A step that accepts guesses has an event for each token.
struct StepEvent {
    int64_t request = 0;
    std::optional<int32_t> token;   // the sampled token, if the step sampled one
    std::optional<float> logprob;   // its natural log-probability under the model, before sampling steps
    std::vector<TokenLogprob> top;  // the most probable tokens in its place, most probable first
    Finish finish = Finish::kNone;  // set on the last event of a request
    int n_prompt = 0;               // prompt tokens
    int n_cached = 0;               // prompt tokens taken from the cache at submission
    int n_read = 0;                 // prompt tokens processed so far, cached ones included
};

}  // namespace zp
