// Shared by float and integer attention: masking of scores, and the number of value columns per tile.
#pragma once

#include "kernels/shared/float_ops.hpp"
#include "kernels/shared/tiles.hpp"

namespace zp::shared {

// Sets the first n_hidden of 16 scores, and those from n_seen on, to -infinity.
template <class L>
inline typename L::F mask_scores(typename L::F scores, int n_hidden, int n_seen) {
    constexpr float kHidden = -__builtin_inff();
    return L::keep_first(L::drop_first(scores, n_hidden, kHidden), n_seen, kHidden);
}

template <class L>
inline float largest_score(const float* scores, int n) {
    auto largest = L::set1(-3.0e38f);
    for (int i = 0; i < n; i += 16) largest = L::max(largest, L::load(scores + i));
    return L::reduce_max(largest);
}

// Vectors of 16 value columns that R rows process at once: as many as leave the sums in registers.
template <class L, int R>
inline constexpr int kValueColumns = (R + 1) * 4 < L::kAccumulators   ? 4
                                     : (R + 1) * 2 < L::kAccumulators ? 2
                                                                      : 1;

}  // namespace zp::shared
