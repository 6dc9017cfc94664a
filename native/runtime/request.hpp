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
};

enum class Finish { kNone, kStop, kLength, kCancelled };

struct TokenLogprob {
    int32_t token;
    float logprob;
};

// One step of one request.
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
