// Attention over keys and values quantized to integers, by 16-bit multiply-adds. Queries and softmax weights
// are quantized too, to at most kMaxInt16Level; each weight is first multiplied by its value's scale, so that
// rounding is relative to its contribution. Integer sums are the same in any order, and a core without VNNI
// does twice as many 16-bit multiply-adds as float ones.
#pragma once

#include "base/prefetch.hpp"
#include "kernels/shared/attention_scores.hpp"

namespace zp::shared {

static_assert(kChunk <= kIntColumns, "sums over the values of a chunk must fit 32 bits as well");

// Rows whose scores are buffered at once: as many as ops/attention.cpp passes for models with small groups.
inline constexpr int kIntRows = 24;

// Up to this many rows belong to a single token, which streams its KV cache from memory: prefetch.
inline constexpr int kFewRows = 4;

// A smaller peak has no finite inverse scale and is treated as zero.
inline constexpr float kMinPeak = 1e-30f;

// Vectors of keys or values that R rows process at once: as many as leave the sums in registers. With few
// rows the loop is limited by memory, so that reading it in order matters more.
template <class L, int R>
inline constexpr int kIntVectors = R * 4 + 1 < L::kAccumulators   ? 4
                                   : R * 2 + 1 < L::kAccumulators ? 2
                                                                  : 1;

// The factor that maps [-peak, peak] to [-kMaxInt16Level, kMaxInt16Level]; 0 if peak is tiny or NaN.
inline float inverse_scale(float peak) { return peak > kMinPeak ? kMaxInt16Level / peak : 0.0f; }

template <class L>
inline float peak_of(const float* x, int n) {
    auto largest = L::zero();
    for (int k = 0; k < n; k += 16) largest = L::larger_magnitudes(largest, load_part<L>(x + k, n - k));
    return L::largest_magnitude(largest);
}

template <class L>
inline void store_quantized(typename L::F x, float inverse, int16_t* out) {
    // The integer that NaN rounds to is unspecified; the scale, which is NaN too, propagates it.
    L::store_int16(out, inverse > 0.0f ? L::round_to_int(L::mul(x, L::set1(inverse))) : L::zero_int());
}

// Adds the scores of R queries for 16 * T positions of a tile, over n_pairs pairs of columns, scaled by the
// positions' key scales.
template <class L, class E, int R, int T>
inline void add_int_scores(const AttendChunk& job, const E* keys, int n_pairs,
                           const int16_t (*q)[kIntColumns], bool is_first, int at, float (*scores)[kChunk]) {
    typename L::I sums[T][R];
    for (int t = 0; t < T; ++t)
        for (int r = 0; r < R; ++r) sums[t][r] = L::zero_int();
    for (int k = 0; k < n_pairs; ++k) {
        for (int t = 0; t < T; ++t) {
            const E* const two = keys + 2 * kPairTile * k + 32 * t;
            if constexpr (R <= kFewRows) prefetch_ahead<sizeof(E) * 32, L::kPrefetchBytes>(two);
            const auto pairs = L::load_pairs(two);
            for (int r = 0; r < R; ++r) sums[t][r] = L::add_products(sums[t][r], pairs, &q[r][2 * k]);
        }
    }
    // Small enough for the compiler to unroll; otherwise the sums of the loop above would live in memory.
    for (int t = 0; t < T; ++t) {
        const int i = at + 16 * t;
        const auto scales = load_part<L>(job.key_scales + i, job.end - job.begin - i);
        if (is_first) {
            for (int r = 0; r < R; ++r) L::store(scores[r] + i, L::mul(L::to_float(sums[t][r]), scales));
        } else {
            for (int r = 0; r < R; ++r)
                L::store(scores[r] + i, L::fma(L::to_float(sums[t][r]), scales, L::load(scores[r] + i)));
        }
    }
}

template <class L>
void quantize_queries(const float* const* q, int n_rows, int d_head, const IntQueries& out) {
    for (int r = 0; r < n_rows; ++r) {
        const float peak = peak_of<L>(q[r], d_head);
        const float inverse = inverse_scale(peak);
        out.scales[r] = (peak < kMinPeak ? kMinPeak : peak) / kMaxInt16Level;
        for (int k = 0; k < d_head; k += 16) {
            const int row = k / kIntColumns * n_rows + r;
            store_quantized<L>(load_part<L>(q[r] + k, d_head - k), inverse,
                               out.values + static_cast<size_t>(row) * kIntColumns + k % kIntColumns);
        }
    }
}

// Computes the scores of R rows, each relative to its query's scale.
template <class L, class E, int R>
inline void score_ints(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    const int d_padded = job.d_head + job.d_head % 2;
    const int n = job.end - job.begin;
    for (int column = 0; column < d_padded; column += kIntColumns) {
        const int n_columns = d_padded - column < kIntColumns ? d_padded - column : kIntColumns;
        const auto* q = reinterpret_cast<const int16_t (*)[kIntColumns]>(job.int_q.values) +
                        column / kIntColumns * job.n_rows + row;
        const bool is_first = column == 0;
        const E* keys = static_cast<const E*>(job.keys) + kPairTile * column;
        for (int i = 0; i < n; i += kPairTile, keys += kPairTile * d_padded) {
            constexpr int kTiles = kIntVectors<L, R> > 1 ? 2 : 1;
            if (kTiles == 2 && i + 16 < n) {
                add_int_scores<L, E, R, kTiles>(job, keys, n_columns / 2, q, is_first, i, scores);
                continue;
            }
            add_int_scores<L, E, R, 1>(job, keys, n_columns / 2, q, is_first, i, scores);
            if (i + 16 < n)
                add_int_scores<L, E, R, 1>(job, keys + 32, n_columns / 2, q, is_first, i + 16, scores);
        }
    }
}

// Masks the scores of a row and returns the largest. A soft cap applies to the scaled scores, so they are
// rescaled first and `scale` becomes 1.
template <class L>
inline float limit_scores(const AttendChunk& job, int row, float* scores, float& scale) {
    const int n = job.end - job.begin;
    if (job.softcap != 0.0f) {
        for (int i = 0; i < n; i += 16)
            L::store(scores + i, soft_cap<L>(L::mul(L::load(scores + i), L::set1(scale)), job.softcap));
        scale = 1.0f;
    }
    const int n_hidden = job.n_hidden[row] - job.begin, n_visible = job.n_visible[row] - job.begin;
    const int n_seen = n_visible < n ? n_visible : n;
    for (int i = 0; i < n; i += 16) {
        if (n_hidden > i || n_seen < i + 16)
            L::store(scores + i, mask_scores<L>(L::load(scores + i), n_hidden - i, n_seen - i));
    }
    return largest_score<L>(scores, n);
}

// Replaces the scores of a row by softmax weights 2^(scale * (score - peak)) times the scales of their
// values, and returns the largest of these products. Writes job.out.total. The powers have a relative error
// below 3e-6; they are zero for -infinity and NaN for NaN. The polynomial minimizes the relative error on
// [-1/2, 1/2] subject to being 1 at zero. Two loops, so that the constants of each stay in registers.
template <class L>
inline float softmax(const AttendChunk& job, int row, float* scores, float peak, float scale) {
    const int n = job.end - job.begin;
    const auto top = L::set1_pinned(peak), factor = L::set1_pinned(scale), lowest = L::set1_pinned(-127.0f);
    for (int i = 0; i < n; i += 16)
        L::store(scores + i, L::max(lowest, L::mul(L::sub(L::load(scores + i), top), factor)));
    // 1.5 * 2^23 + 127: adding it rounds to an integer, which ends up in the lowest bits.
    const auto rounder = L::set1_pinned(12583039.0f);
    const auto c4 = L::set1_pinned(0.00958285294f), c3 = L::set1_pinned(0.0559064262f),
               c2 = L::set1_pinned(0.240240991f), c1 = L::set1_pinned(0.693124175f),
               c0 = L::set1_pinned(1.0f);
    auto total = L::zero(), largest = L::zero();
    for (int i = 0; i < n; i += 16) {
        const auto x = L::load(scores + i);
        const auto rounded = L::add(x, rounder);
        const auto f = L::sub(x, L::sub(rounded, rounder));
        const auto p = L::fma(L::fma(L::fma(L::fma(c4, f, c3), f, c2), f, c1), f, c0);
        const auto weight = L::mul(p, L::low_bits_to_exponent(rounded));
        total = L::add(total, weight);
        const auto scaled = L::mul(weight, load_part<L>(job.value_scales + i, n - i));
        largest = L::max(largest, scaled);
        L::store(scores + i, scaled);
    }
    job.out.total[row] = L::reduce_add(total);
    return L::reduce_max(largest);
}

// Turns the scores of n_rows rows into int16 weights of the values; scales[r] is the scores' scale, then the
// weights'.
template <class L>
inline void scores_to_weights(const AttendChunk& job, int row, int n_rows, float (*scores)[kChunk],
                              int16_t (*weights)[kChunk], float* scales) {
    constexpr float kLog2e = 1.44269504088896341f;
    const int n = job.end - job.begin;
    // One loop over the rows per stage: rows overlap, and none waits for another's reduction across lanes.
    float peaks[kIntRows];
    for (int r = 0; r < n_rows; ++r) peaks[r] = limit_scores<L>(job, row + r, scores[r], scales[r]);
    for (int r = 0; r < n_rows; ++r) {
        job.out.peak[row + r] = peaks[r] * scales[r];
        scales[r] = softmax<L>(job, row + r, scores[r], peaks[r], scales[r] * kLog2e);
    }
    // NaN if one of the scales is not finite: integers cannot represent that.
    const float nan_or_zero = 0.0f * peak_of<L>(job.value_scales, n);
    for (int r = 0; r < n_rows; ++r) {
        const float inverse = inverse_scale(scales[r]);
        for (int i = 0; i < n; i += 16) store_quantized<L>(L::load(scores[r] + i), inverse, &weights[r][i]);
        scales[r] = scales[r] / kMaxInt16Level + nan_or_zero;
    }
}

// Computes sum[r][k .. k + 16 * C) over all positions of the chunk.
template <class L, class E, int R, int C>
inline void accumulate_int_values(const AttendChunk& job, int row, int k, const int16_t (*weights)[kChunk],
                                  const float* scales) {
    typename L::I sums[C][R];
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r) sums[c][r] = L::zero_int();
    const E* values = static_cast<const E*>(job.values) + 2 * k;
    for (int s = 0; s < job.end - job.begin; s += 2, values += 2 * job.d_value) {
        for (int c = 0; c < C; ++c) {
            if constexpr (R <= kFewRows) prefetch_ahead<sizeof(E) * 32, L::kPrefetchBytes>(values + 32 * c);
            const auto pairs = L::load_pairs(values + 32 * c);
            for (int r = 0; r < R; ++r) sums[c][r] = L::add_products(sums[c][r], pairs, &weights[r][s]);
        }
    }
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r)
            L::store(job.out.sum + static_cast<size_t>(row + r) * job.d_value + k + 16 * c,
                     L::mul(L::to_float(sums[c][r]), L::set1(scales[r])));
}

template <class L, class E, int R, int C>
inline void accumulate_int_columns(const AttendChunk& job, int row, int k, const int16_t (*weights)[kChunk],
                                   const float* scales) {
    for (; k + 16 * C <= job.d_value; k += 16 * C)
        accumulate_int_values<L, E, R, C>(job, row, k, weights, scales);
    if constexpr (C > 1) accumulate_int_columns<L, E, R, C / 2>(job, row, k, weights, scales);
}

// All rows read the keys before any reads the values: each fits the L1 cache alone, but not both.
template <class L, class E>
inline void attend_ints(const AttendChunk& job) {
    alignas(64) float scores[kIntRows][kChunk];
    alignas(64) int16_t weights[kIntRows][kChunk];
    float scales[kIntRows];
    for (int row = 0; row < job.n_rows; row += kIntRows) {
        const int n_rows = job.n_rows - row < kIntRows ? job.n_rows - row : kIntRows;
        for_each_tile<L::kIntQueryTile>(
            n_rows, [&](auto n, int r) { score_ints<L, E, n>(job, row + r, scores + r); });
        for (int r = 0; r < n_rows; ++r) scales[r] = job.int_q.scales[row + r];
        scores_to_weights<L>(job, row, n_rows, scores, weights, scales);
        for_each_tile<L::kIntQueryTile>(n_rows, [&](auto n, int r) {
            accumulate_int_columns<L, E, n, kIntVectors<L, n>>(job, row + r, 0, weights + r, scales + r);
        });
    }
}

}  // namespace zp::shared
