// The tokens of one forward pass: consecutive rows of one or more sequences.
#pragma once

#include <cstdint>
#include <vector>

#include "model/interventions.hpp"
#include "ops/attention.hpp"

namespace zp {

struct Batch {
    static constexpr int kMaxTokens = 256;  // rows of one forward pass

    std::vector<int32_t> tokens;                      // [T]
    std::vector<Slice> slices;                        // consecutive rows of each sequence, in order
    std::vector<int> output_rows;                     // rows whose logits are computed, ascending
    std::vector<const Interventions*> interventions;  // of each slice (null: none), or empty for none at all
};

}  // namespace zp
