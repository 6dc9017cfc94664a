// Rows by the tile: a tile has a number of them that the compiler knows, so that their sums are registers.
#pragma once

#include <type_traits>

namespace zp::shared {

// `n` rows, at most R, as one tile: body(integral_constant of n, row).
template <int R, class Body>
inline void as_tile(int n, int row, const Body& body) {
    if (n == R) return body(std::integral_constant<int, R>(), row);
    if constexpr (R > 1) as_tile<R - 1>(n, row, body);
}

// Tiles of like size: four rows are two and two where three would fit, so that none reads the cache alone.
template <int kMaxRows, class Body>
inline void in_tiles(int n_rows, const Body& body) {
    for (int row = 0; row < n_rows;) {
        const int n_left = n_rows - row;
        const int n_tiles = (n_left + kMaxRows - 1) / kMaxRows;
        const int n = (n_left + n_tiles - 1) / n_tiles;
        as_tile<kMaxRows>(n, row, body);
        row += n;
    }
}

}  // namespace zp::shared
