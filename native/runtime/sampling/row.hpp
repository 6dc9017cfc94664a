// One row of logits during sampling, and the scans that the sampling steps share. An excluded token has the
// logit -infinity. Rows contain no NaN: Sampler rejects them first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zp {

// Buffers reused for every token, so that sampling does not allocate.
struct Scratch {
    std::vector<uint32_t> counts_V;  // all zero between uses
    std::vector<float> values;       // a copy of the logits, to reorder
    std::vector<int32_t> ids;        // candidates by ascending id; the first n_candidates are valid
    std::vector<float> logits;       // their logits, in the same order
    std::vector<double> weights;     // exp(logit - maximum), in the same order
    size_t n_candidates = 0;
    std::vector<uint32_t> positions;  // indices of candidates, to reorder
};

struct Row {
    std::span<float> logits_V;
    std::span<const int32_t> history;  // tokens of the sequence so far, the prompt first
    size_t n_prompt;                   // how many of them belong to the prompt
    Scratch& scratch;
    uint64_t seed;  // of the random numbers

    // The tokens of the answer so far.
    std::span<const int32_t> answer() const { return history.subspan(n_prompt); }
};

// The largest logit; false if one is NaN.
bool max_logit(std::span<const float> logits_V, float& top);

// The lowest id whose logit equals `value`, or V if there is none.
size_t first_equal(std::span<const float> logits_V, float value);

// Keeps the logits above `bound` and the first `n_equal` by id of those equal to it; sets others to
// -infinity.
void keep_top(std::span<float> logits_V, float bound, size_t n_equal);

// Fills `scratch` with the candidates, the tokens within kLogitRange of `top` (the largest logit), and their
// weights exp(logit - top). A token further below weighs less than 2e-22 of the largest; 262,144 of them
// together are below the rounding error of a double.
inline constexpr float kLogitRange = 50.0f;
void softmax_weights(std::span<const float> logits_V, float top, Scratch& scratch);

// The sum, in an order that depends only on the length.
double sum(std::span<const double> values);

// Calls change(logit&, count) once for each distinct token of `tokens`. Ignores ids outside the row.
template <class Change>
void for_each_distinct(Row& row, std::span<const int32_t> tokens, Change change) {
    const size_t n_vocab = row.logits_V.size();
    std::vector<uint32_t>& counts_V = row.scratch.counts_V;
    if (counts_V.size() < n_vocab) counts_V.resize(n_vocab);
    for (int32_t id : tokens) {
        if (static_cast<size_t>(id) < n_vocab) ++counts_V[static_cast<size_t>(id)];
    }
    for (int32_t id : tokens) {
        const size_t at = static_cast<size_t>(id);
        if (at >= n_vocab || counts_V[at] == 0) continue;
        change(row.logits_V[at], counts_V[at]);
        counts_V[at] = 0;
    }
}

}  // namespace zp
