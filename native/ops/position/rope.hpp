// Rotary position embedding (Su et al., "RoFormer", 2021, section 3.4.2).
#pragma once

#include "ops/position/layout.hpp"

namespace zp {

// Computes cos and sin of position * frequency, [n_pairs] each.
void rope_angles(const float* frequencies, int n_pairs, int position, float* cosines, float* sines);

// Rotates the first 2 * n_pairs columns of one head [K] in place.
void rope_rotate(RopeLayout layout, const float* cosines, const float* sines, int n_pairs, float* head);

}  // namespace zp
