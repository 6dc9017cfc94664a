// Splits rows into tiles whose row count is a compile-time constant, so that their accumulators are
// registers.
#pragma once

#include <type_traits>

namespace zp::shared {

// Processes `n` rows (at most R) as one tile: calls body(integral_constant<n>, row).
template <int R, class Body>
inline void dispatch_tile(int n, int row, const Body& body) {
    if (n == R) return body(std::integral_constant<int, R>(), row);
    if constexpr (R > 1) dispatch_tile<R - 1>(n, row, body);
}

// Splits n_rows into tiles of similar size: four rows become two and two even if three fit, so that no row
// reads the weights or the KV cache alone.
template <int kMaxRows, class Body>
inline void for_each_tile(int n_rows, const Body& body) {
    for (int row = 0; row < n_rows;) {
        const int n_left = n_rows - row;
        const int n_tiles = (n_left + kMaxRows - 1) / kMaxRows;
        const int n = (n_left + n_tiles - 1) / n_tiles;
        dispatch_tile<kMaxRows>(n, row, body);
        row += n;
    }
}

}  // namespace zp::shared
