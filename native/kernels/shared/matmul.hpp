// Matrix products over packed groups of 16 rows, written once over lanes and formats.
// Each output is one lane: it adds its blocks in the order of the columns, whatever the number of tokens
// or threads, so a token's result does not depend on the company it is computed in.
#pragma once

#include "kernels/codes/all.hpp"  // written at the build: codes/includes.cmake
#include "kernels/kernels.hpp"

namespace zp::shared {

// --- Integer products: weight codes times int8 activations, one float step a block of 32 columns --------
// What a tile is made of must be inline, or its sums go through memory; GCC finds it too large by itself.

// Adds the products of vectors i to n - 1 of a part, whose first vector is `first`, with R activation rows.
template <int i, int n, int first, int R, class Codes, class Dot>
[[gnu::always_inline]] inline void add_products(const Codes& block, const QuantBlock* const* x, Dot* dots) {
    if constexpr (i < n) {
        // A whole block goes through its vectors as 0, 4, 1, 5, ..: two that share the bytes of nibbles.
        constexpr int v = n == 8 ? 4 * (i % 2) + i / 2 : first + i;
        const auto codes = block.template codes<v>();
        for (int r = 0; r < R; ++r) dots[r].template add<i, n, v>(codes, x[r]->q);
        add_products<i + 1, n, first, R>(block, x, dots);
    }
}

// The dot products of one part (-1: all 32 columns) of a block with R activation rows.
template <class L, class Codes, int part, int R>
[[gnu::always_inline]] inline void dot_part(const Codes& block, const QuantBlock* const* x,
                                            typename L::I* out) {
    typename L::template Dot<Codes::kTop, Codes::kZero, part> dots[R];
    for (int r = 0; r < R; ++r) dots[r].start(x[r]->half_sums);
    add_products < 0, part < 0 ? 8 : 4, part<0 ? 0 : 4 * part, R>(block, x, dots);
    for (int r = 0; r < R; ++r) out[r] = dots[r].finish(x[r]->half_sums);
}

// Adds block of 32 columns to the sums of M tokens of P parts each, and goes on to the next block of x.
template <class L, class Codes, int M, int P>
[[gnu::always_inline]] inline void add_block(const Codes& block, const QuantBlock** x, typename L::F* sums) {
    constexpr int kRows = M * P, kParts = Codes::kParts;
    typename L::I dots[kParts][kRows];
    dot_part<L, Codes, kParts == 1 ? -1 : 0, kRows>(block, x, dots[0]);
    if constexpr (kParts == 2) dot_part<L, Codes, 1, kRows>(block, x, dots[1]);
    const auto unit = block.unit();
    for (int r = 0; r < kRows; ++r) {
        auto& sum = sums[r / P];
        sum = L::fma(block.exact(dots[0][r], dots[kParts - 1][r]), L::mul(unit, L::set1(x[r]->scale)), sum);
        sum = block.add_minimum(sum, *x[r]);
        ++x[r];
    }
}

template <class L, Format format, int M, int P>
inline void int8_tile(const MatmulInt8& job, const uint8_t* group, int first_token, float* y) {
    using Block = Codes<format, L>;
    constexpr int kRows = M * P;
    typename L::F sums[M];
    const QuantBlock* x[kRows];
    for (int m = 0; m < M; ++m) sums[m] = L::zero();
    for (int r = 0; r < kRows; ++r) x[r] = job.x + static_cast<size_t>(first_token * P + r) * job.n_blocks;
    for (int b = 0; b < job.n_blocks; b += Block::kSpan, group += kPackedBytes<format>)
        for (int s = 0; s < Block::kSpan; ++s) add_block<L, Block, M, P>(Block(group, s), x, sums);
    for (int m = 0; m < M; ++m) L::store(y + static_cast<size_t>(first_token + m) * job.y_stride, sums[m]);
}

// Tokens m and after in tiles of M, and those left over in tiles of half as many: a few tokens together must
// not cost as much as each alone.
template <class L, Format format, int M, int P>
inline void int8_group(const MatmulInt8& job, const uint8_t* group, int m, float* y) {
    for (; m + M <= job.n_tokens; m += M) int8_tile<L, format, M, P>(job, group, m, y);
    if constexpr (M > 1) int8_group<L, format, M / 2, P>(job, group, m, y);
}

template <class L, Format format>
void matmul_int8(const MatmulInt8& job) {
    for (int g = 0; g < job.n_groups; ++g) {
        const uint8_t* group = job.weights + static_cast<size_t>(g) * job.group_bytes;
        if (job.n_parts == 1) {
            int8_group<L, format, L::kRowTile, 1>(job, group, 0, job.y + kGroupRows * g);
        } else {
            int8_group<L, format, L::kRowTile / 2, 2>(job, group, 0, job.y + kGroupRows * g);
        }
    }
}

// --- Float products: every weight becomes a float and is multiplied with a float activation -------

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
