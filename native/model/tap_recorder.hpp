// Looking inside the passes of one text: rows copied out at points, attention weights of chosen heads, and
// what the head would say after chosen layers (nostalgebraist, "Interpreting GPT: the logit lens", 2020).
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

// What is wanted at one point, and what was seen there.
struct Reading {
    Point point = Point::kAfterFfn;
    int layer = -1;
    std::vector<int> heads;  // of kWeights
    // [T, width]; of kWeights [heads, T, T], 0 where a token sees nothing.
    int width = 0;
    std::vector<float> values;
};

// What the head says after a layer, a row a token of the text.
struct LensRows {
    int layer = 0;
    std::vector<int32_t> top_ids;       // [T, n_top], most probable first
    std::vector<float> top_logprobs;    // [T, n_top]
    std::vector<float> named_logprobs;  // [T, named]
    std::vector<float> next_logprobs;   // [T - 1], of the text's own next token
    std::vector<float> logits;          // [T, V] where wanted
};

struct LensWish {
    std::vector<int> layers;
    int n_top = 0;
    std::vector<int32_t> named;  // tokens whose probability is wanted
    bool wants_logits = false;
};

class Probe {
public:
    // For the text `ids`. Refuses points that the model does not have, and heads, layers and tokens beyond
    // it.
    static Result<Probe> make(const ModelSpec& spec, std::span<const int32_t> ids,
                              std::vector<Reading> readings, LensWish lens);

    const PointSet& points() const { return points_; }
    bool wants_lens() const { return !lens_.empty(); }
    std::vector<Reading>& readings() { return readings_; }
    std::vector<LensRows>& lens() { return lens_; }

    // The reading of a point, or null.
    Reading* at(Point point, int layer);
    LensRows* lens_at(int layer);
    // Copies rows [n_rows, stride] of tokens from `position` on. Threads may take disjoint rows at once.
    void take(Point point, int layer, int position, int n_rows, const float* rows, size_t stride);
    // Keeps of one row of logits what is wanted of it; false where they are not finite.
    bool take_logits(LensRows& into, int position, const float* logits, const Kernels& kernels) const;

private:
    void reserve(Reading& reading) const;
    void reserve(LensRows& rows) const;

    int n_vocab_ = 0;
    std::vector<int32_t> ids_;
    LensWish wish_;
    PointSet points_;
    std::vector<Reading> readings_;
    std::vector<LensRows> lens_;
};

}  // namespace zp
