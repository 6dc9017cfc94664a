// Panels: weights dequantized to float once for many tokens. All formats share the code that multiplies them.
#pragma once

#include <cstddef>

#include "kernels/packed.hpp"
#include "kernels/shared/tiles.hpp"

namespace zp::shared {

// Sized so that a panel, the sums of its tokens and their slice of x fit the L1 cache.
inline constexpr int kPanelCols = 128, kPanelTokens = 96;

// Columns of 16 rows, the even ones first, then the odd ones: each half has its own sum, as in float_tile.
struct Panel {
    alignas(64) float weights[2][kPanelCols / 2][kGroupRows];
};
struct PanelSums {
    alignas(64) float by_token[kPanelTokens][2][kGroupRows];
};

// Adds n columns (a multiple of four) of one parity to the sums of M tokens; x[0] belongs to the first
// column.
template <class L, int M>
[[gnu::noinline]] void add_columns(const float (*columns)[kGroupRows], int n, const float* x, size_t x_stride,
                                   int parity, float (*sums)[2][kGroupRows]) {
    typename L::F registers[M];
    const float* rows[M];
    for (int m = 0; m < M; ++m) {
        registers[m] = L::load(sums[m][parity]);
        rows[m] = x + static_cast<size_t>(m) * x_stride;
    }
    // Unrolled by four: loop counters would otherwise take a sixth of the issue slots.
    for (int j = 0; j < n; j += 4) {
        for (int i = 0; i < 4; ++i) {
            const auto weights = L::load(columns[j + i]);
            for (int m = 0; m < M; ++m)
                registers[m] = L::fma(weights, L::set1(rows[m][2 * (j + i)]), registers[m]);
        }
    }
    for (int m = 0; m < M; ++m) L::store(sums[m][parity], registers[m]);
}

// Adds n_cols columns (a multiple of 32) to the sums of n_tokens rows of x.
template <class L>
[[gnu::noinline]] void add_panel(const Panel& panel, int n_cols, const float* x, size_t x_stride,
                                 int n_tokens, PanelSums& sums) {
    for_each_tile<L::kPanelTile>(n_tokens, [&](auto m, int t) {
        for (int parity = 0; parity < 2; ++parity)
            add_columns<L, m>(panel.weights[parity], n_cols / 2,
                              x + static_cast<size_t>(t) * x_stride + parity, x_stride, parity,
                              sums.by_token + t);
    });
}

}  // namespace zp::shared
