// Attention over keys and values that are whole numbers of steps, by products of 16-bit integers. Queries and
// softmax weights become whole numbers too, of at most kMaxInt16Level; a weight first takes up its value's
// step, so that it is as large as what it contributes. Sums of integers are the same in any order, and a
// processor without fused products of its own does twice as many of these as of floats.
#pragma once

#include "base/prefetch.hpp"
#include "kernels/shared/attention_scores.hpp"

namespace zp::shared {

static_assert(kChunk <= kIntColumns, "sums over the values of a chunk have to fit as well");

// Rows whose scores are kept at once: as many as ops/attention.cpp brings, of models with small groups.
inline constexpr int kIntRows = 24;

// So few rows are those of one token, which reads its cache from memory.
inline constexpr int kFewRows = 4;

// Below this a peak has no reciprocal to count steps with, and is taken for zero.
inline constexpr float kMinPeak = 1e-30f;

// How many vectors of what is read R rows take at once: as many as leave their sums in registers. The fewer
// rows there are, the sooner they are through, and the more it matters that memory is read in order.
template <class L, int R>
inline constexpr int kIntVectors = R * 4 + 1 < L::kValues   ? 4
                                   : R * 2 + 1 < L::kValues ? 2
                                                            : 1;

// What numbers of at most `peak` are multiplied with to be counted in steps; 0 where it is not finite.
inline float steps_a_unit(float peak) { return peak > kMinPeak ? kMaxInt16Level / peak : 0.0f; }

template <class L>
inline float peak_of(const float* x, int n) {
    auto largest = L::zero();
    for (int k = 0; k < n; k += 16) largest = L::larger_magnitudes(largest, load_part<L>(x + k, n - k));
    return L::largest_magnitude(largest);
}

template <class L>
inline void store_steps(typename L::F x, float by, int16_t* out) {
    // Nothing is known of the integer that comes of NaN; the unit, which is none either, tells of it.
    L::store_int16(out, by > 0.0f ? L::round_to_int(L::mul(x, L::set1(by))) : L::zero_int());
}

// What R queries make with 16 * T positions of a tile, over n_pairs pairs of columns, times the positions'
// steps.
template <class L, class E, int R, int T>
inline void add_int_scores(const AttendChunk& job, const E* keys, int n_pairs,
                           const int16_t (*q)[kIntColumns], bool is_first, int at, float (*scores)[kChunk]) {
    typename L::I sums[T][R];
    for (int t = 0; t < T; ++t)
        for (int r = 0; r < R; ++r) sums[t][r] = L::zero_int();
    for (int k = 0; k < n_pairs; ++k) {
        for (int t = 0; t < T; ++t) {
            const E* const two = keys + 2 * kPairTile * k + 32 * t;
            if constexpr (R <= kFewRows) prefetch_ahead<sizeof(E) * 32>(two);
            const auto pairs = L::load_pairs(two);
            for (int r = 0; r < R; ++r) sums[t][r] = L::add_products(sums[t][r], pairs, &q[r][2 * k]);
        }
    }
    // So little that the compiler unrolls it: else the sums would lie in memory in the loop above.
    for (int t = 0; t < T; ++t) {
        const int i = at + 16 * t;
        const auto steps = load_part<L>(job.key_scales + i, job.end - job.begin - i);
        if (is_first) {
            for (int r = 0; r < R; ++r) L::store(scores[r] + i, L::mul(L::to_float(sums[t][r]), steps));
        } else {
            for (int r = 0; r < R; ++r)
                L::store(scores[r] + i, L::fma(L::to_float(sums[t][r]), steps, L::load(scores[r] + i)));
        }
    }
}

template <class L>
void quantize_queries(const float* const* q, int n_rows, int d_head, const IntQueries& out) {
    for (int r = 0; r < n_rows; ++r) {
        const float peak = peak_of<L>(q[r], d_head);
        const float by = steps_a_unit(peak);
        out.units[r] = (peak < kMinPeak ? kMinPeak : peak) / kMaxInt16Level;
        for (int k = 0; k < d_head; k += 16) {
            const int row = k / kIntColumns * n_rows + r;
            store_steps<L>(load_part<L>(q[r] + k, d_head - k), by,
                           out.steps + static_cast<size_t>(row) * kIntColumns + k % kIntColumns);
        }
    }
}

// Scores of R rows, each in units of its query's step.
template <class L, class E, int R>
inline void score_ints(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    const int d_padded = job.d_head + job.d_head % 2;
    const int n = job.end - job.begin;
    for (int column = 0; column < d_padded; column += kIntColumns) {
        const int n_columns = d_padded - column < kIntColumns ? d_padded - column : kIntColumns;
        const auto* q = reinterpret_cast<const int16_t (*)[kIntColumns]>(job.int_q.steps) +
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

// The largest score of a row, where hidden ones become -infinity. With a cap they all change, and their unit
// becomes one.
template <class L>
inline float limit_scores(const AttendChunk& job, int row, float* scores, float& unit) {
    const int n = job.end - job.begin;
    if (job.softcap != 0.0f) {
        for (int i = 0; i < n; i += 16)
            L::store(scores + i, soft_cap<L>(L::mul(L::load(scores + i), L::set1(unit)), job.softcap));
        unit = 1.0f;
    }
    const int n_hidden = job.n_hidden[row] - job.begin, n_visible = job.n_visible[row] - job.begin;
    const int n_seen = n_visible < n ? n_visible : n;
    for (int i = 0; i < n; i += 16) {
        if (n_hidden > i || n_seen < i + 16)
            L::store(scores + i, hide<L>(L::load(scores + i), n_hidden - i, n_seen - i));
    }
    return largest_score<L>(scores, n);
}

// Turns the scores of a row into softmax weights 2^(by * (score - peak)) times the steps of their values, in
// place; returns the largest of these. job.out.total is written. Powers are within 3e-6 of what they should
// be, zero for -infinity, and NaN for NaN. The polynomial is that of least relative error on [-1/2, 1/2] that
// is one at zero. In two loops, so that the constants of each stay in registers.
template <class L>
inline float softmax(const AttendChunk& job, int row, float* scores, float peak, float by) {
    const int n = job.end - job.begin;
    const auto top = L::kept(peak), unit = L::kept(by), least = L::kept(-127.0f);
    for (int i = 0; i < n; i += 16)
        L::store(scores + i, L::max(least, L::mul(L::sub(L::load(scores + i), top), unit)));
    // 1.5 * 2^23 + 127: a sum with it is rounded to a whole number, which its lowest bits count.
    const auto to_whole = L::kept(12583039.0f);
    const auto c4 = L::kept(0.00958285294f), c3 = L::kept(0.0559064262f), c2 = L::kept(0.240240991f),
               c1 = L::kept(0.693124175f), c0 = L::kept(1.0f);
    auto total = L::zero(), most = L::zero();
    for (int i = 0; i < n; i += 16) {
        const auto x = L::load(scores + i);
        const auto whole = L::add(x, to_whole);
        const auto f = L::sub(x, L::sub(whole, to_whole));
        const auto p = L::fma(L::fma(L::fma(L::fma(c4, f, c3), f, c2), f, c1), f, c0);
        const auto weight = L::mul(p, L::low_bits_to_exponent(whole));
        total = L::add(total, weight);
        const auto share = L::mul(weight, load_part<L>(job.value_scales + i, n - i));
        most = L::max(most, share);
        L::store(scores + i, share);
    }
    job.out.total[row] = L::reduce_add(total);
    return L::reduce_max(most);
}

// From the scores of n_rows rows, each in its unit, to the weights of values, each in a new unit.
template <class L>
inline void weigh_scores(const AttendChunk& job, int row, int n_rows, float (*scores)[kChunk],
                         int16_t (*weights)[kChunk], float* units) {
    constexpr float kLog2e = 1.44269504088896341f;
    const int n = job.end - job.begin;
    // Row after row in each step, so that one need not wait for another's result across lanes.
    float peaks[kIntRows];
    for (int r = 0; r < n_rows; ++r) peaks[r] = limit_scores<L>(job, row + r, scores[r], units[r]);
    for (int r = 0; r < n_rows; ++r) {
        job.out.peak[row + r] = peaks[r] * units[r];
        units[r] = softmax<L>(job, row + r, scores[r], peaks[r], units[r] * kLog2e);
    }
    // Not finite where one of the steps is not: whole numbers cannot tell.
    const float damage = 0.0f * peak_of<L>(job.value_scales, n);
    for (int r = 0; r < n_rows; ++r) {
        const float by = steps_a_unit(units[r]);
        for (int i = 0; i < n; i += 16) store_steps<L>(L::load(scores[r] + i), by, &weights[r][i]);
        units[r] = units[r] / kMaxInt16Level + damage;
    }
}

// sum[r][0 .. 16 * C) at column `k`, over all positions of the chunk.
template <class L, class E, int R, int C>
inline void weigh_int_values(const AttendChunk& job, int row, int k, const int16_t (*weights)[kChunk],
                             const float* units) {
    typename L::I sums[C][R];
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r) sums[c][r] = L::zero_int();
    const E* values = static_cast<const E*>(job.values) + 2 * k;
    for (int s = 0; s < job.end - job.begin; s += 2, values += 2 * job.d_value) {
        for (int c = 0; c < C; ++c) {
            if constexpr (R <= kFewRows) prefetch_ahead<sizeof(E) * 32>(values + 32 * c);
            const auto pairs = L::load_pairs(values + 32 * c);
            for (int r = 0; r < R; ++r) sums[c][r] = L::add_products(sums[c][r], pairs, &weights[r][s]);
        }
    }
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r)
            L::store(job.out.sum + static_cast<size_t>(row + r) * job.d_value + k + 16 * c,
                     L::mul(L::to_float(sums[c][r]), L::set1(units[r])));
}

template <class L, class E, int R, int C>
inline void weigh_int_columns(const AttendChunk& job, int row, int k, const int16_t (*weights)[kChunk],
                              const float* units) {
    for (; k + 16 * C <= job.d_value; k += 16 * C) weigh_int_values<L, E, R, C>(job, row, k, weights, units);
    if constexpr (C > 1) weigh_int_columns<L, E, R, C / 2>(job, row, k, weights, units);
}

// All rows take the keys before any takes the values: either fit the first-level cache, but not both.
template <class L, class E>
inline void attend_ints(const AttendChunk& job) {
    alignas(64) float scores[kIntRows][kChunk];
    alignas(64) int16_t weights[kIntRows][kChunk];
    float units[kIntRows];
    for (int row = 0; row < job.n_rows; row += kIntRows) {
        const int n_rows = job.n_rows - row < kIntRows ? job.n_rows - row : kIntRows;
        in_tiles<L::kIntQueryTile>(n_rows,
                                   [&](auto n, int r) { score_ints<L, E, n>(job, row + r, scores + r); });
        for (int r = 0; r < n_rows; ++r) units[r] = job.int_q.units[row + r];
        weigh_scores<L>(job, row, n_rows, scores, weights, units);
        in_tiles<L::kIntQueryTile>(n_rows, [&](auto n, int r) {
            weigh_int_columns<L, E, n, kIntVectors<L, n>>(job, row + r, 0, weights + r, units + r);
        });
    }
}

}  // namespace zp::shared
