// Products of packed weights with float activations, written once over lanes and formats: every weight
// becomes a float. A lane adds its columns in one order, whatever the company, as in matmul_int8.hpp.
#pragma once

#include "base/prefetch.hpp"
#include "kernels/codes/all.hpp"  // written at the build: codes/includes.cmake
#include "kernels/kernels.hpp"

namespace zp::shared {

// Adds column k of 16 rows for M tokens: even and odd columns have a sum each, to hide the latency.
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

// Walks the columns of a group of plain floats.
template <class L, Format format>
struct PlainColumns {
    template <int M>
    static void run(const uint8_t* group, int n_cols, const float* const* x, typename L::F (*sums)[2]) {
        constexpr int kBytes = kPackedBytes<format>;
        int k = 0;
        for (; k + 2 <= n_cols; k += 2, group += 2 * kBytes) {
            if constexpr (M == 1) fetch_ahead<2 * kBytes>(group);
            add_column<L, M>(load_plain<L, format>(group), x, k, sums);
            add_column<L, M>(load_plain<L, format>(group + kBytes), x, k + 1, sums);
        }
        if (k < n_cols) add_column<L, M>(load_plain<L, format>(group), x, k, sums);
    }
};

// Adds columns 4 * i + j to 31 of a block, each code turned into a weight.
template <int i, class L, class Block, int M>
inline void add_columns(const Block& block, const typename L::F* scales, const typename L::F* minimums,
                        const float* const* x, int k, typename L::F (*sums)[2]) {
    if constexpr (i < 8) {
        constexpr int part = Block::kParts == 1 ? 0 : i / 4;
        const auto codes = block.template codes<i>();
        const auto weight = [&](typename L::I code) {
            return weight_of<L, Block::kRule, Block::kZero>(L::to_float(code), scales[part], minimums[part]);
        };
        add_column<L, M>(weight(L::template column<0>(codes)), x, k, sums);
        add_column<L, M>(weight(L::template column<1>(codes)), x, k + 1, sums);
        add_column<L, M>(weight(L::template column<2>(codes)), x, k + 2, sums);
        add_column<L, M>(weight(L::template column<3>(codes)), x, k + 3, sums);
        add_columns<i + 1, L, Block, M>(block, scales, minimums, x, k + 4, sums);
    }
}

template <class L, Format format>
struct CodeColumns {
    template <int M>
    static void run(const uint8_t* group, int n_cols, const float* const* x, typename L::F (*sums)[2]) {
        using Block = Codes<format, L>;
        constexpr int kLast = Block::kParts - 1;
        for (int k = 0; k < n_cols; group += kPackedBytes<format>) {
            for (int s = 0; s < Block::kSpan; ++s, k += kBlockCols) {
                const Block block(group, s);
                const typename L::F scales[2] = {block.template scale<0>(), block.template scale<kLast>()};
                const typename L::F minimums[2] = {block.template minimum<0>(),
                                                   block.template minimum<kLast>()};
                add_columns<0, L, Block, M>(block, scales, minimums, x, k, sums);
            }
        }
    }
};

template <class L, class Columns, int M>
inline void float_tile(const MatmulFloat& job, const uint8_t* group, int first_token, float* y) {
    typename L::F sums[M][2];
    const float* x[M];
    for (int m = 0; m < M; ++m) {
        sums[m][0] = sums[m][1] = L::zero();
        x[m] = job.x + static_cast<size_t>(first_token + m) * job.x_stride;
    }
    Columns::template run<M>(group, job.n_cols, x, sums);
    for (int m = 0; m < M; ++m)
        L::store(y + static_cast<size_t>(first_token + m) * job.y_stride, L::add(sums[m][0], sums[m][1]));
}

// As int8_group, by even tiles: two tokens already keep the multiply units busy if the weights are near.
template <class L, class Columns, int M>
inline void float_group(const MatmulFloat& job, const uint8_t* group, int m, float* y) {
    for (; m + M <= job.n_tokens; m += M) float_tile<L, Columns, M>(job, group, m, y);
    if constexpr (M > 1) float_group<L, Columns, (M > 4 ? 4 : M > 2 ? 2 : 1)>(job, group, m, y);
}

template <class L, class Columns>
void matmul_float(const MatmulFloat& job) {
    for (int g = 0; g < job.n_groups; ++g) {
        const uint8_t* group = job.weights + static_cast<size_t>(g) * job.group_bytes;
        float_group<L, Columns, L::kDenseTile>(job, group, 0, job.y + kGroupRows * g);
    }
}

}  // namespace zp::shared
