// Products of packed weights with int8 activations, written once over lanes and formats: codes are multiplied
// as integers, and a block of 32 columns is one float step.
// Each output is one lane: it adds its blocks run after run, in the order of the columns and then what
// rounding them left over, whatever the number of tokens or threads, so a token's result does not depend on
// the company it is computed in.
#pragma once

#include <bit>

#include "base/prefetch.hpp"
#include "kernels/codes/codec_common.hpp"
#include "kernels/shared/matmul.hpp"

namespace zp::shared {

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

// Adds a block of 32 columns to the sums of M tokens.
template <class L, class Codes, int M>
[[gnu::always_inline]] inline void add_block(const Codes& block, const QuantBlock* const* x,
                                             typename L::F* sums) {
    constexpr int kParts = Codes::kParts;
    typename L::I dots[kParts][M];
    dot_part<L, Codes, kParts == 1 ? -1 : 0, M>(block, x, dots[0]);
    if constexpr (kParts == 2) dot_part<L, Codes, 1, M>(block, x, dots[1]);
    const auto head = block.head();
    for (int m = 0; m < M; ++m) {
        sums[m] = L::fma(head.exact(dots[0][m], dots[kParts - 1][m]), L::mul(head.unit, L::set1(x[m]->scale)),
                         sums[m]);
        sums[m] = head.add_minimum(sums[m], *x[m]);
    }
}

// The blocks of a group as they are packed.
template <class L, Format format>
struct PackedBlocks {
    using Block = Codes<format, L>;
    const uint8_t* group;
    static constexpr int kSpan = Block::kSpan;
    static constexpr bool kAreFar = true;
    void prefetch_ahead(int block) const {
        constexpr int kBytes = kPackedBytes<format> / kSpan;
        zp::prefetch_ahead<kBytes>(group + static_cast<size_t>(block) * kBytes);
    }
    Block at(int b) const {
        return Block(group + static_cast<size_t>(b / kSpan) * kPackedBytes<format>, b % kSpan);
    }
};

// Formats whose scales and codes cost more to work out, tile for tile, than to write down and read again.
template <class Codes>
inline constexpr bool kIsDear = Codes::kSpan > 1 && requires { Codes::Head::kSaved; };

// The same with a byte a code and the heads worked out: what many tokens read.
template <class L, Format format>
struct WideBlocks {
    using Packed = Codes<format, L>;
    static constexpr int kBytes = 512 + 4 * Packed::Head::kSaved;
    struct Block {
        static constexpr int kParts = Packed::kParts, kTop = Packed::kTop, kZero = Packed::kZero;
        const uint8_t* p;
        template <int i>
        typename L::Bytes codes() const {
            return L::load_bytes(p + 64 * i);
        }
        typename Packed::Head head() const {
            return Packed::Head::load(reinterpret_cast<const float*>(p + 512));
        }
    };
    const uint8_t* blocks;
    static constexpr int kSpan = 1;
    static constexpr bool kAreFar = false;
    Block at(int b) const { return {blocks + b * kBytes}; }

    template <int i = 0>
    static void widen(const Packed& block, uint8_t* p) {
        if constexpr (i < 8) {
            L::store_bytes(p + 64 * i, block.template codes<i>());
            widen<i + 1>(block, p);
        } else {
            block.head().save(reinterpret_cast<float*>(p + 512));
        }
    }
};

// Which of the columns' blocks a tile adds; y has the sums of those before.
struct BlockRange {
    int begin, end;
};

// M tokens of 16 rows; blocks.at(0) is that of range.begin. What rounding left over of any token is added for
// all, to the others as zero, which changes nothing, and by the same code: a second copy would be as large
// again.
template <class L, class Blocks, int M, bool asks_ahead>
inline void int8_tile(const MatmulInt8& job, const Blocks& blocks, BlockRange range, int token, float* y) {
    typename L::F sums[M];
    const QuantBlock* x[M];
    y += static_cast<size_t>(token) * job.y_stride;
    for (int m = 0; m < M; ++m) sums[m] = range.begin == 0 ? L::zero() : L::load(y + m * job.y_stride);
    for (int m = 0; m < M; ++m)
        x[m] = job.x + (static_cast<size_t>(token + m) * job.n_blocks + range.begin) * job.n_terms;
    const auto advance = [&](int n) {
        for (int m = 0; m < M; ++m) x[m] += n;
    };
    const int n_blocks = range.end - range.begin;
    for (int run = 0; run < n_blocks; run += kRunBlocks) {
        const int n_run = n_blocks - run < kRunBlocks ? n_blocks - run : kRunBlocks;
        unsigned residual_mask = 0;
        for (int m = 0; m < M; ++m) residual_mask |= static_cast<unsigned>(x[m]->residual_mask);
        int at = 0;  // in x, from the run's first block
        for (int b = 0, n = 1;;) {
            if constexpr (asks_ahead) blocks.prefetch_ahead(run + b);
            add_block<L, typename Blocks::Block, M>(blocks.at(run + b), x, sums);
            int step = job.n_terms;
            if (n < n_run) {
                b = n++;
            } else if (residual_mask != 0) {
                b = std::countr_zero(residual_mask);
                residual_mask &= residual_mask - 1;
                step = 2 * b + 1 - at;
            } else {
                break;
            }
            at += step;
            advance(step);
        }
        advance(n_run * job.n_terms - at);
    }
    for (int m = 0; m < M; ++m) L::store(y + m * job.y_stride, sums[m]);
}

// Tokens m and after in tiles of M, and those left over in tiles of half as many: a few tokens together must
// not cost as much as each alone.
template <class L, class Blocks, int M>
inline void int8_tiles(const MatmulInt8& job, const Blocks& blocks, BlockRange range, int m, float* y) {
    if (m == 0 && M <= job.n_tokens) {
        int8_tile<L, Blocks, M, Blocks::kAreFar>(job, blocks, range, 0, y);
        m = M;
    }
    for (; m + M <= job.n_tokens; m += M) int8_tile<L, Blocks, M, false>(job, blocks, range, m, y);
    if constexpr (M > 1) int8_tiles<L, Blocks, M / 2>(job, blocks, range, m, y);
}

// Blocks are worked out once for all tokens, a run at a time: the nearest cache holds it beside a tile's
// rows.
template <class L, Format format>
void multiply_widened(const MatmulInt8& job) {
    using Blocks = WideBlocks<L, format>;
    alignas(64) uint8_t panel[kRunBlocks * Blocks::kBytes];
    for (int begin = 0; begin < job.n_blocks; begin += kRunBlocks) {
        const BlockRange range = {begin,
                                  begin + kRunBlocks < job.n_blocks ? begin + kRunBlocks : job.n_blocks};
        for (int g = 0; g < job.n_groups; ++g) {
            const PackedBlocks<L, format> packed{job.weights + static_cast<size_t>(g) * job.group_bytes};
            for (int b = range.begin; b < range.end; ++b) {
                packed.prefetch_ahead(b);
                Blocks::widen(packed.at(b), panel + (b - begin) * Blocks::kBytes);
            }
            int8_tiles<L, Blocks, L::kRowTile>(job, {panel}, range, 0, job.y + kGroupRows * g);
        }
    }
}

template <class L, Format format>
void matmul_int8(const MatmulInt8& job) {
    if constexpr (L::kWideFrom > 0 && kIsDear<Codes<format, L>>)
        if (job.n_tokens >= L::kWideFrom) return multiply_widened<L, format>(job);
    for (int g = 0; g < job.n_groups; ++g) {
        const PackedBlocks<L, format> blocks{job.weights + static_cast<size_t>(g) * job.group_bytes};
        int8_tiles<L, PackedBlocks<L, format>, L::kRowTile>(job, blocks, {0, job.n_blocks}, 0,
                                                            job.y + kGroupRows * g);
    }
}

}  // namespace zp::shared
