// What both kinds of attention share: the mask of scores, and the columns of a tile.
#pragma once

#include "kernels/shared/float_ops.hpp"
#include "kernels/shared/tiles.hpp"

namespace zp::shared {

// -infinity for the first n_hidden of 16 scores and from n_seen on.
template <class L>
inline typename L::F hide(typename L::F scores, int n_hidden, int n_seen) {
    constexpr float kHidden = -__builtin_inff();
    return L::keep_first(L::drop_first(scores, n_hidden, kHidden), n_seen, kHidden);
}

template <class L>
inline float largest_score(const float* scores, int n) {
    auto largest = L::set1(-3.0e38f);
    for (int i = 0; i < n; i += 16) largest = L::max(largest, L::load(scores + i));
    return L::reduce_max(largest);
}

// How many columns of values (16 each) R rows take at once: as many as leave their sums in registers.
template <class L, int R>
inline constexpr int kValueColumns = (R + 1) * 4 < L::kValues   ? 4
                                     : (R + 1) * 2 < L::kValues ? 2
                                                                : 1;

}  // namespace zp::shared
