// Weights that were made floats once for many tokens. Whatever their format, the products are the same code.
#pragma once

#include <cstddef>

#include "kernels/packed.hpp"
#include "kernels/shared/tiles.hpp"

namespace zp::shared {

// So many that a panel, the sums of its tokens, and their part of x fit the first-level cache.
inline constexpr int kPanelCols = 128, kPanelTokens = 96;

// Columns of 16 rows, first the even ones, then the odd ones: either has a sum of its own, as in float_tile.
struct Panel {
    alignas(64) float weights[2][kPanelCols / 2][kGroupRows];
};
struct PanelSums {
    alignas(64) float of[kPanelTokens][2][kGroupRows];
};

// Adds n columns of one parity, a multiple of four, to a sum of M tokens; x[0] is that of the first column.
template <class L, int M>
[[gnu::noinline]] void add_columns(const float (*columns)[kGroupRows], int n, const float* x, size_t x_stride,
                                   int parity, float (*sums)[2][kGroupRows]) {
    typename L::F registers[M];
    const float* rows[M];
    for (int m = 0; m < M; ++m) {
        registers[m] = L::load(sums[m][parity]);
        rows[m] = x + static_cast<size_t>(m) * x_stride;
    }
    // By four, since instructions that only count would take a sixth of what a core can begin.
    for (int j = 0; j < n; j += 4) {
        for (int i = 0; i < 4; ++i) {
            const auto weights = L::load(columns[j + i]);
            for (int m = 0; m < M; ++m)
                registers[m] = L::fma(weights, L::set1(rows[m][2 * (j + i)]), registers[m]);
        }
    }
    for (int m = 0; m < M; ++m) L::store(sums[m][parity], registers[m]);
}

// Adds n_cols columns, a multiple of 32, to the sums of n_tokens rows of x.
template <class L>
[[gnu::noinline]] void add_panel(const Panel& panel, int n_cols, const float* x, size_t x_stride,
                                 int n_tokens, PanelSums& sums) {
    in_tiles<L::kPanelTile>(n_tokens, [&](auto m, int t) {
        for (int parity = 0; parity < 2; ++parity)
            add_columns<L, m>(panel.weights[parity], n_cols / 2,
                              x + static_cast<size_t>(t) * x_stride + parity, x_stride, parity, sums.of + t);
    });
}

}  // namespace zp::shared
