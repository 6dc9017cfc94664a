// Products of packed weights with float activations, generic over lanes and formats: dequantizes every
// weight. A lane always adds its columns in the same order, whatever the batch, as in matmul_int8.hpp.
#pragma once

#include <type_traits>

#include "base/inline.hpp"
#include "base/prefetch.hpp"
#include "kernels/codes/codec_common.hpp"
#include "kernels/shared/matmul.hpp"
#include "kernels/shared/panel.hpp"

namespace zp::shared {

// Adds column k of 16 rows for M tokens. Even and odd columns have separate sums, to hide the FMA latency.
template <class L, int M>
inline void add_column(typename L::F w, const float* const* x, int k, typename L::F (*sums)[2]) {
    for (int m = 0; m < M; ++m) sums[m][k & 1] = L::fma(w, L::set1(x[m][k]), sums[m][k & 1]);
}

template <class L, Format format>
inline typename L::F load_plain(const uint8_t* p) {
    if constexpr (format == Format::kF32) return L::load(reinterpret_cast<const float*>(p));
    if constexpr (format == Format::kF16) return L::load_half(reinterpret_cast<const uint16_t*>(p));
    if constexpr (format == Format::kBF16) return L::load_bf16(reinterpret_cast<const uint16_t*>(p));
}

// The columns of a group of F32, F16 or BF16 weights.
template <class L, Format format>
struct PlainColumns {
    static constexpr int kBytes = kPackedBytes<format>;
    const uint8_t* group;

    template <int M>
    void add(int n_cols, const float* const* x, typename L::F (*sums)[2]) const {
        const uint8_t* p = group;
        int k = 0;
        for (; k + 2 <= n_cols; k += 2, p += 2 * kBytes) {
            if constexpr (M == 1) prefetch_ahead<2 * kBytes, L::kPrefetchBytes>(p);
            add_column<L, M>(load_plain<L, format>(p), x, k, sums);
            add_column<L, M>(load_plain<L, format>(p + kBytes), x, k + 1, sums);
        }
        if (k < n_cols) add_column<L, M>(load_plain<L, format>(p), x, k, sums);
    }
};

// Dequantizes columns 4 * i to 31 of a sub-block and calls take(column, weights) with each; the sub-block
// starts at column k - 4 * i.
template <int i, class L, class Block, class Take>
ZP_INLINE void for_each_column(const Block& block, const typename L::F* scales, const typename L::F* minimums,
                               int k, Take take) {
    if constexpr (i < 8) {
        constexpr int part = Block::kParts == 1 ? 0 : i / 4;
        const auto codes = block.template codes<i>();
        const auto weight = [&](typename L::I code) {
            return weight_of<L, Block::kRule, Block::kZeroPoint>(L::to_float(code), scales[part],
                                                                 minimums[part]);
        };
        take(k, weight(L::template column<0>(codes)));
        take(k + 1, weight(L::template column<1>(codes)));
        take(k + 2, weight(L::template column<2>(codes)));
        take(k + 3, weight(L::template column<3>(codes)));
        for_each_column<i + 1, L>(block, scales, minimums, k + 4, take);
    }
}

// The columns of a group of quantized weights.
template <class L, Format format>
struct CodeColumns {
    using Block = Codec<format, L>;
    const uint8_t* group;

    template <class Take>
    ZP_INLINE static void for_each_in_block(const Block& block, int k, Take take) {
        constexpr int kLast = Block::kParts - 1;
        const typename L::F scales[2] = {block.template scale<0>(), block.template scale<kLast>()};
        const typename L::F minimums[2] = {block.template minimum<0>(), block.template minimum<kLast>()};
        for_each_column<0, L>(block, scales, minimums, k, take);
    }
    template <int M>
    void add(int n_cols, const float* const* x, typename L::F (*sums)[2]) const {
        const uint8_t* packed = group;
        for (int k = 0; k < n_cols; packed += kPackedBytes<format>)
            for (int s = 0; s < Block::kSubBlocks; ++s, k += kBlockCols)
                for_each_in_block(Block(packed, s), k, [x, sums](int column, typename L::F weight) {
                    add_column<L, M>(weight, x, column, sums);
                });
    }
    // Visits columns [begin, end), both multiples of 32.
    template <class Take>
    void for_each(int begin, int end, Take take) const {
        for (int b = begin / kBlockCols; b < end / kBlockCols; ++b)
            for_each_in_block(Block(group + static_cast<size_t>(b / Block::kSubBlocks) * kPackedBytes<format>,
                                    b % Block::kSubBlocks),
                              b * kBlockCols, take);
    }
};

template <class L, class Columns, int M>
inline void float_tile(const MatmulFloat& job, const Columns& columns, int first_token, float* y) {
    typename L::F sums[M][2];
    const float* x[M];
    for (int m = 0; m < M; ++m) {
        sums[m][0] = sums[m][1] = L::zero();
        x[m] = job.x + static_cast<size_t>(first_token + m) * job.x_stride;
    }
    columns.template add<M>(job.n_cols, x, sums);
    for (int m = 0; m < M; ++m)
        L::store(y + static_cast<size_t>(first_token + m) * job.y_stride, L::add(sums[m][0], sums[m][1]));
}

// Like int8_tiles, but prefers even tiles: two tokens already saturate the multiply units if the weights are
// cached.
template <class L, class Columns, int M>
inline void float_tiles(const MatmulFloat& job, const Columns& columns, int m, float* y) {
    for (; m + M <= job.n_tokens; m += M) float_tile<L, Columns, M>(job, columns, m, y);
    if constexpr (M > 1) float_tiles<L, Columns, (M > 4 ? 4 : M > 2 ? 2 : 1)>(job, columns, m, y);
}

// Multiplies one group with tokens [first, first + n), dequantizing its codes once for all of them.
template <class L, class Columns>
inline void multiply_panels(const MatmulFloat& job, const Columns& columns, int first, int n, float* y) {
    Panel panel;
    PanelSums sums;
    for (int t = 0; t < n; ++t)
        for (float* sum : sums.by_token[t]) L::store(sum, L::zero());
    for (int k = 0; k < job.n_cols; k += kPanelCols) {
        const int n_cols = job.n_cols - k < kPanelCols ? job.n_cols - k : kPanelCols;
        columns.for_each(k, k + n_cols, [&](int column, typename L::F weights) {
            L::store(panel.weights[column % 2][(column - k) / 2], weights);
        });
        add_panel<L>(panel, n_cols, job.x + static_cast<size_t>(first) * job.x_stride + k, job.x_stride, n,
                     sums);
    }
    for (int t = 0; t < n; ++t)
        L::store(y + static_cast<size_t>(first + t) * job.y_stride,
                 L::add(L::load(sums.by_token[t][0]), L::load(sums.by_token[t][1])));
}

// Number of tokens from which a panel is faster.
inline constexpr int kPanelFrom = 4;

template <class L, Format format>
void matmul_float(const MatmulFloat& job) {
    using Columns = std::conditional_t<is_quantized(format), CodeColumns<L, format>, PlainColumns<L, format>>;
    constexpr int kMaxTile = is_quantized(format) ? kPanelFrom - 1 : L::kFloatTile;
    for (int g = 0; g < job.n_groups; ++g) {
        const Columns columns{job.weights + static_cast<size_t>(g) * job.group_bytes};
        float* y = job.y + kGroupRows * g;
        if constexpr (is_quantized(format)) {
            if (job.n_tokens >= kPanelFrom) {
                for (int t = 0; t < job.n_tokens; t += kPanelTokens) {
                    const int n = job.n_tokens - t < kPanelTokens ? job.n_tokens - t : kPanelTokens;
                    multiply_panels<L>(job, columns, t, n, y);
                }
                continue;
            }
        }
        float_tiles < L, Columns, kMaxTile<L::kFloatTile ? kMaxTile : L::kFloatTile>(job, columns, 0, y);
    }
}

}  // namespace zp::shared
