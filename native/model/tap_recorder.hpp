// Records the inside of the forward passes of one text: activations at taps, attention weights of chosen
// heads, and the logit lens, which applies final norm and LM head after chosen layers (nostalgebraist,
// "Interpreting GPT: the logit lens", 2020).
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "base/status.hpp"
#include "kernels/kernels.hpp"
#include "model/taps.hpp"

namespace zp {

// One recorded tap: the request, and its values after the passes.
struct RecordedTap {
    Tap tap = Tap::kAfterFfn;
    int layer = -1;
    std::vector<int> heads;  // recorded heads, for kWeights only
    // [T, width]; for kWeights [heads, T, T], 0 at positions that a token does not attend to.
    int width = 0;
    std::vector<float> values;
};

// The logit lens after one layer: one row per token of the text.
struct LensRows {
    int layer = 0;
    std::vector<int32_t> top_ids;       // [T, n_top], most probable first
    std::vector<float> top_logprobs;    // [T, n_top]
    std::vector<float> named_logprobs;  // [T, named]
    std::vector<float> next_logprobs;   // [T - 1], of the next token of the text
    std::vector<float> logits;          // [T, V], or empty unless requested
};

struct LensRequest {
    std::vector<int> layers;
    int n_top = 0;
    std::vector<int32_t> named;  // token ids whose log-probability to record
    bool wants_logits = false;
};

class TapRecorder {
public:
    // A recorder for the text `ids`. kInvalid for a tap, head, layer or token that the model does not have.
    static Result<TapRecorder> make(const ModelSpec& spec, std::span<const int32_t> ids,
                                    std::vector<RecordedTap> taps, LensRequest lens);

    const TapSet& taps() const { return taps_; }
    bool has_lens() const { return !lens_.empty(); }
    std::vector<RecordedTap>& recorded() { return recorded_; }
    std::vector<LensRows>& lens() { return lens_; }

    // The record of a tap or of a lens layer, or null if it was not requested.
    RecordedTap* find(Tap tap, int layer);
    LensRows* find_lens(int layer);
    // Copies rows [n_rows, stride] of the tokens from `position` on. Threads may record disjoint rows at
    // once.
    void record(Tap tap, int layer, int position, int n_rows, const float* rows, size_t stride);
    // Records one row of logits for the lens. False if they are not finite.
    bool record_logits(LensRows& into, int position, const float* logits, const Kernels& kernels) const;

private:
    void allocate(RecordedTap& recorded) const;
    void allocate(LensRows& rows) const;

    int n_vocab_ = 0;
    std::vector<int32_t> ids_;
    LensRequest lens_request_;
    TapSet taps_;
    std::vector<RecordedTap> recorded_;
    std::vector<LensRows> lens_;
};

}  // namespace zp
