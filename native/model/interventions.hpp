// Interventions modify a forward pass: columns of the rows at a tap become factor * column + addend. This
// covers steering vectors (Turner et al., "Activation Addition", 2023) and the ablation of a head or feature
// (Michel et al., "Are Sixteen Heads Really Better than One?", 2019).
#pragma once

#include <vector>

#include "base/status.hpp"
#include "model/taps.hpp"

namespace zp {

struct Intervention {
    Tap tap = Tap::kAfterFfn;
    int layer = 0;                             // -1: outside the blocks
    int first_position = 0, end_position = 0;  // token positions [first, end)
    int first_column = 0, n_columns = 0;
    float factor = 1.0f;
    std::vector<float> addend;  // [n_columns], or empty for zeros
};

class Interventions {
public:
    // kInvalid for a tap that cannot be modified, columns that it does not have, or a number that is not
    // finite.
    static Result<Interventions> make(std::vector<Intervention> interventions, const ModelSpec& spec);

    const TapSet& taps() const { return taps_; }
    // Modifies rows [n_rows, stride] of the tokens from `position` on, applying interventions in order.
    void apply(Tap tap, int layer, int position, int n_rows, float* rows, size_t stride) const;

private:
    std::vector<Intervention> interventions_;
    TapSet taps_;
};

}  // namespace zp
