// Products of packed weights with int8 activations, generic over lanes and formats: integer dot products
// within a block of 32 columns, one float multiply-add per block. Each output is one lane. It adds its blocks
// run by run, first in column order and then their residuals, for any number of tokens or threads, so a
// token's result does not depend on the rest of the batch.
#pragma once

#include <bit>

#include "base/prefetch.hpp"
#include "kernels/codes/codec_common.hpp"
#include "kernels/shared/matmul.hpp"

namespace zp::shared {

// The pieces of a tile are always_inline: GCC considers them too large, and its sums would go through memory.

// Adds the products of vectors i to n - 1 of a part, which starts at vector `first`, with R activation rows.
template <int i, int n, int first, int R, class Codec, class Dot>
[[gnu::always_inline]] inline void add_products(const Codec& block, const QuantBlock* const* x, Dot* dots) {
    if constexpr (i < n) {
        // A block of one part visits its vectors as 0, 4, 1, 5, ...: consecutive pairs share their bytes of
        // nibbles.
        constexpr int v = n == 8 ? 4 * (i % 2) + i / 2 : first + i;
        const auto codes = block.template codes<v>();
        for (int r = 0; r < R; ++r) dots[r].template add<i, n, v>(codes, x[r]->q);
        add_products<i + 1, n, first, R>(block, x, dots);
    }
}

// Dot products of one part of a block (-1: all 32 columns) with R activation rows.
template <class L, class Codec, int part, int R>
[[gnu::always_inline]] inline void dot_part(const Codec& block, const QuantBlock* const* x,
                                            typename L::I* out) {
    typename L::template Dot<Codec::kMaxCode, Codec::kZeroPoint, part> dots[R];
    for (int r = 0; r < R; ++r) dots[r].start(x[r]->half_sums);
    add_products < 0, part < 0 ? 8 : 4, part<0 ? 0 : 4 * part, R>(block, x, dots);
    for (int r = 0; r < R; ++r) out[r] = dots[r].finish(x[r]->half_sums);
}

// Adds a block of 32 columns to the sums of M tokens.
template <class L, class Codec, int M>
[[gnu::always_inline]] inline void add_block(const Codec& block, const QuantBlock* const* x,
                                             typename L::F* sums) {
    constexpr int kParts = Codec::kParts;
    typename L::I dots[kParts][M];
    dot_part<L, Codec, kParts == 1 ? -1 : 0, M>(block, x, dots[0]);
    if constexpr (kParts == 2) dot_part<L, Codec, 1, M>(block, x, dots[1]);
    const auto head = block.head();
    for (int m = 0; m < M; ++m) {
        sums[m] = L::fma(head.weighted_dot(dots[0][m], dots[kParts - 1][m]),
                         L::mul(head.scale, L::set1(x[m]->scale)), sums[m]);
        sums[m] = head.add_minimum(sums[m], *x[m]);
    }
}

// The packed blocks of a group.
template <class L, Format format>
struct PackedBlocks {
    using Block = Codec<format, L>;
    const uint8_t* group;
    static constexpr int kSubBlocks = Block::kSubBlocks;
    static constexpr bool kIsStreamed = true;
    void prefetch_ahead(int block) const {
        constexpr int kBytes = kPackedBytes<format> / kSubBlocks;
        zp::prefetch_ahead<kBytes, L::kPrefetchBytes>(group + static_cast<size_t>(block) * kBytes);
    }
    Block at(int b) const {
        return Block(group + static_cast<size_t>(b / kSubBlocks) * kPackedBytes<format>, b % kSubBlocks);
    }
};

// Formats whose scales and codes are slower to decode for every tile than to decode once and reload: on some
// instruction sets those with sub-blocks, and on all those that look up points of a lattice.
template <class Codec>
inline constexpr bool kIsSlow = requires { Codec::kIsSlow; };
template <class L, class Codec>
inline constexpr int kWidenFrom = kIsSlow<Codec> ? L::kRowTile + 1 : L::kWidenFrom;
template <class Codec>
inline constexpr bool kIsWorthWidening = Codec::kSubBlocks > 1 && requires { Codec::Head::kSavedFloats; };

// Blocks decoded once for many tokens: one byte per code, heads as floats.
template <class L, Format format>
struct WidenedBlocks {
    using Packed = Codec<format, L>;
    static constexpr int kBytes = 512 + 4 * Packed::Head::kSavedFloats;
    struct Block {
        static constexpr int kParts = Packed::kParts, kMaxCode = Packed::kMaxCode,
                             kZeroPoint = Packed::kZeroPoint;
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
    static constexpr int kSubBlocks = 1;
    static constexpr bool kIsStreamed = false;
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

// The blocks that a tile adds; y contains the sums of the blocks before `begin`.
struct BlockRange {
    int begin, end;
};

// Multiplies M tokens with 16 rows; blocks.at(0) is block range.begin. If any token has a residual in a
// block, the tile adds it for all tokens (zero for the others, which changes nothing) in the same loop: a
// second copy of this code would double its size.
template <class L, class Blocks, int M, bool prefetches>
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
        int at = 0;  // offset in x from the run's first block
        for (int b = 0, n = 1;;) {
            if constexpr (prefetches) blocks.prefetch_ahead(run + b);
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

// Processes tokens from m on in tiles of M and the remainder in tiles of M / 2 and smaller, so that a few
// leftover tokens share their reads of the weights.
template <class L, class Blocks, int M>
inline void int8_tiles(const MatmulInt8& job, const Blocks& blocks, BlockRange range, int m, float* y) {
    if (m == 0 && M <= job.n_tokens) {
        int8_tile<L, Blocks, M, Blocks::kIsStreamed>(job, blocks, range, 0, y);
        m = M;
    }
    for (; m + M <= job.n_tokens; m += M) int8_tile<L, Blocks, M, false>(job, blocks, range, m, y);
    if constexpr (M > 1) int8_tiles<L, Blocks, M / 2>(job, blocks, range, m, y);
}

// Decodes each run of blocks once for all tokens; a run and the rows of a tile fit the L1 cache together.
template <class L, Format format>
void multiply_widened(const MatmulInt8& job) {
    using Blocks = WidenedBlocks<L, format>;
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
    using Block = Codec<format, L>;
    if constexpr (kWidenFrom<L, Block> > 0 && kIsWorthWidening<Block>)
        if (job.n_tokens >= kWidenFrom<L, Block>) return multiply_widened<L, format>(job);
    for (int g = 0; g < job.n_groups; ++g) {
        const PackedBlocks<L, format> blocks{job.weights + static_cast<size_t>(g) * job.group_bytes};
        int8_tiles<L, PackedBlocks<L, format>, L::kRowTile>(job, blocks, {0, job.n_blocks}, 0,
                                                            job.y + kGroupRows * g);
    }
}

}  // namespace zp::shared
