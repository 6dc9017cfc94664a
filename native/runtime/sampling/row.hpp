// One row of logits on its way to a token, and the few scans that all steps are made of.
// A token that is ruled out has the logit -infinity. Rows hold no NaN: Sampler refuses them first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace zp {

// Buffers that outlive a row, so that a token costs no allocation once they have grown to size.
struct Scratch {
    std::vector<uint32_t> counts_V;  // all zero between uses
    std::vector<float> values;       // a copy of logits, to reorder
    std::vector<int32_t> ids;        // candidates by rising id; the first n_candidates are valid
    std::vector<float> logits;       // their logits, in the same order
    std::vector<double> weights;     // exp(logit - best), in the same order
    size_t n_candidates = 0;
    std::vector<uint32_t> positions;  // of candidates, to reorder
};

struct Row {
    std::span<float> logits_V;
    std::span<const int32_t> history;  // tokens of the sequence so far, prompt first
    size_t n_prompt;                   // how many of them are the prompt
    Scratch& scratch;

    // The tokens of the answer so far.
    std::span<const int32_t> answer() const { return history.subspan(n_prompt); }
};

// The largest logit; false if one is NaN.
bool largest(std::span<const float> logits_V, float& top);

// The lowest id whose logit equals `value`; V if there is none.
size_t first_equal(std::span<const float> logits_V, float value);

// Keeps the logits above `bound` and the first `n_equal` (by id) of those equal to it.
void keep_best(std::span<float> logits_V, float bound, size_t n_equal);

// Makes candidates of every token that can matter beside `top`, the largest logit. A token
// more than kReach below it weighs under 2e-22 of the best; 262,144 of them together are below the
// rounding of a double.
inline constexpr float kReach = 50.0f;
void weigh(std::span<const float> logits_V, float top, Scratch& scratch);

// The sum, in an order that depends on the length alone.
double sum(std::span<const double> values);

// Calls change(logit&, count) once for each different token of `tokens`; ids outside the row are
// passed over.
template <class Change>
void for_each_seen(Row& row, std::span<const int32_t> tokens, Change change) {
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
