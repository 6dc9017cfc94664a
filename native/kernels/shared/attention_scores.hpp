// What both kinds of attention share: the mask of scores, and the shape of tiles.
#pragma once

#include <type_traits>

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

// `n` rows, at most R, as one tile: body(integral_constant of n, row).
template <int R, class Body>
inline void as_tile(int n, int row, const Body& body) {
    if (n == R) return body(std::integral_constant<int, R>(), row);
    if constexpr (R > 1) as_tile<R - 1>(n, row, body);
}

// Tiles of like size: four rows are two and two where three would fit, so that none reads the cache alone.
template <int kMost, class Body>
inline void in_tiles(int n_rows, const Body& body) {
    for (int row = 0; row < n_rows;) {
        const int n_left = n_rows - row;
        const int n_tiles = (n_left + kMost - 1) / kMost;
        const int n = (n_left + n_tiles - 1) / n_tiles;
        as_tile<kMost>(n, row, body);
        row += n;
    }
}

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
