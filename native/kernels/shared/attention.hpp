// Attention over one chunk of positions with an online softmax across chunks (Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018). Keys lie in tiles of 16 positions, so that a lane is
// a position and a score needs no sum across lanes; values lie by position, so that a lane is a column.
#pragma once

#include <type_traits>

#include "kernels/shared/attention_int.hpp"
#include "kernels/shared/attention_scores.hpp"

namespace zp::shared {

template <class L>
inline typename L::F load_element(const uint16_t* p) {
    return L::load_half(p);
}
template <class L>
inline typename L::F load_element(const float* p) {
    return L::load(p);
}
// For an element: bfloat16, in pairs of columns (keys) and of positions (values).
struct Bf16Pairs;

template <class E>
inline constexpr bool kIsInt = std::is_same_v<E, int16_t> || std::is_same_v<E, int8_t>;

// scores[r][s - begin] for R rows; positions a row may not see become -infinity.
template <class L, class E, int R>
inline void score_rows(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    const E* keys = static_cast<const E*>(job.keys);
    for (int s = job.begin; s < job.end; s += 16, keys += 16 * job.d_head) {
        typename L::F sums[R];
        for (int r = 0; r < R; ++r) sums[r] = L::zero();
        for (int k = 0; k < job.d_head; ++k) {
            const auto key = load_element<L>(keys + 16 * k);
            for (int r = 0; r < R; ++r) sums[r] = L::fma(L::set1(job.q[row + r][k]), key, sums[r]);
        }
        for (int r = 0; r < R; ++r) store_scores<L>(job, row + r, s, sums[r], scores[r]);
    }
}

// Columns of the queries that are rounded and multiplied before the next.
inline constexpr int kPairColumns = 128;

// Adds the products of n_pairs pairs of columns to the scores of 16 * T positions of a tile.
template <class L, int R, int T>
inline void add_pair_products(const uint16_t* keys, int n_pairs,
                              const typename L::PairFactor (*q)[kPairColumns / 2], float (*scores)[kChunk],
                              int at) {
    typename L::F sums[T][R];
    for (int t = 0; t < T; ++t)
        for (int r = 0; r < R; ++r) sums[t][r] = L::load(scores[r] + at + 16 * t);
    for (int k = 0; k < n_pairs; ++k)
        for (int t = 0; t < T; ++t)
            L::template add_pairs<R, true>(keys + 2 * kPairTile * k + 32 * t, &q[0][k], kPairColumns / 2,
                                           sums[t]);
    for (int t = 0; t < T; ++t)
        for (int r = 0; r < R; ++r) L::store(scores[r] + at + 16 * t, sums[t][r]);
}

// Rounds columns of R queries; zeros fill the last pairs.
template <class L, int R>
inline void round_queries(const AttendChunk& job, int row, int column, int n_columns,
                          typename L::PairFactor (*q)[kPairColumns / 2]) {
    for (int r = 0; r < R; ++r) {
        for (int k = 0; k < n_columns; k += 32) {
            const float* from = job.q[row + r] + column + k;
            const int n_left = job.d_head - column - k;
            const auto high = n_left > 16 ? load_part<L>(from + 16, n_left - 16) : L::zero();
            L::store_factors(&q[r][k / 2], round_to_pair<L>(load_part<L>(from, n_left)),
                             round_to_pair<L>(high));
        }
    }
}

// As score_rows, of bfloat16.
template <class L, int R>
inline void score_pairs(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    alignas(64) typename L::PairFactor q[R][kPairColumns / 2];
    const int d_padded = job.d_head + job.d_head % 2;
    const int n = job.end - job.begin;
    for (int r = 0; r < R; ++r)
        for (int i = 0; i < n; i += 16) L::store(scores[r] + i, L::zero());
    for (int column = 0; column < d_padded; column += kPairColumns) {
        const int n_columns = d_padded - column < kPairColumns ? d_padded - column : kPairColumns;
        round_queries<L, R>(job, row, column, n_columns, q);
        const uint16_t* keys = static_cast<const uint16_t*>(job.keys) + kPairTile * column;
        for (int i = 0; i < n; i += kPairTile, keys += kPairTile * d_padded) {
            if (L::kKeyTiles == 2 && i + 16 < n) {
                add_pair_products<L, R, L::kKeyTiles>(keys, n_columns / 2, q, scores, i);
                continue;
            }
            add_pair_products<L, R, 1>(keys, n_columns / 2, q, scores, i);
            if (i + 16 < n) add_pair_products<L, R, 1>(keys + 32, n_columns / 2, q, scores, i + 16);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int i = 0; i < n; i += 16)
            store_scores<L>(job, row + r, job.begin + i, L::load(scores[r] + i), scores[r]);
}

// sum[r][0 .. 16 * C) at column `k`, over all positions of the chunk in order.
template <class L, class E, int R, int C>
inline void weigh_values(const AttendChunk& job, int row, int k, float (*weights)[kChunk]) {
    typename L::F sums[R][C];
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c) sums[r][c] = L::zero();
    const E* values = static_cast<const E*>(job.values) + k;
    const int n = job.end - job.begin;
    for (int s = 0; s < n; ++s, values += job.d_value) {
        typename L::F v[C];
        for (int c = 0; c < C; ++c) v[c] = load_element<L>(values + 16 * c);
        for (int r = 0; r < R; ++r) {
            const auto w = L::set1(weights[r][s]);
            for (int c = 0; c < C; ++c) sums[r][c] = L::fma(w, v[c], sums[r][c]);
        }
    }
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            L::store(job.sum + static_cast<size_t>(row + r) * job.d_value + k + 16 * c, sums[r][c]);
}

// As weigh_values, of bfloat16. The second of a last pair may be a position that nobody wrote.
template <class L, int R, int C>
inline void weigh_value_pairs(const AttendChunk& job, int row, int k,
                              const typename L::PairFactor (*weights)[kChunk / 2]) {
    typename L::F sums[C][R];
    for (int c = 0; c < C; ++c)
        for (int r = 0; r < R; ++r) sums[c][r] = L::zero();
    const uint16_t* values = static_cast<const uint16_t*>(job.values) + 2 * k;
    const int n = job.end - job.begin;
    for (int i = 0; i < n / 2; ++i, values += 2 * job.d_value)
        for (int c = 0; c < C; ++c)
            L::template add_pairs<R, true>(values + 32 * c, &weights[0][i], kChunk / 2, sums[c]);
    if (n % 2 != 0)
        for (int c = 0; c < C; ++c)
            L::template add_pairs<R, false>(values + 32 * c, &weights[0][n / 2], kChunk / 2, sums[c]);
    for (int r = 0; r < R; ++r)
        for (int c = 0; c < C; ++c)
            L::store(job.sum + static_cast<size_t>(row + r) * job.d_value + k + 16 * c, sums[c][r]);
}

template <class L, int R, int C>
inline void weigh_pair_columns(const AttendChunk& job, int row, int k,
                               const typename L::PairFactor (*weights)[kChunk / 2]) {
    for (; k + 16 * C <= job.d_value; k += 16 * C) weigh_value_pairs<L, R, C>(job, row, k, weights);
    if constexpr (C > 1) weigh_pair_columns<L, R, C / 2>(job, row, k, weights);
}

// Columns k and after, 16 * C at a time and then fewer. The fewer passes, the longer the runs of memory that
// one reads.
template <class L, class E, int R, int C>
inline void weigh_columns(const AttendChunk& job, int row, int k, float (*weights)[kChunk]) {
    for (; k + 16 * C <= job.d_value; k += 16 * C) weigh_values<L, E, R, C>(job, row, k, weights);
    if constexpr (C > 1) weigh_columns<L, E, R, C / 2>(job, row, k, weights);
}

template <class L, int R>
inline void weigh_all_pairs(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    alignas(64) typename L::PairFactor weights[R][kChunk / 2];
    const int n = job.end - job.begin;
    for (int r = 0; r < R; ++r) {
        for (int i = 0; i < n; i += 32) {
            const auto next = i + 16 < n ? L::load(scores[r] + i + 16) : L::zero();
            L::store_factors(&weights[r][i / 2], L::load(scores[r] + i), next);
        }
    }
    weigh_pair_columns<L, R, kValueColumns<L, R>>(job, row, 0, weights);
}

template <class L, class E, int R>
inline void attend_rows(const AttendChunk& job, int row) {
    constexpr bool kPairs = std::is_same_v<E, Bf16Pairs>;
    alignas(64) float scores[R][kChunk];
    if constexpr (kPairs)
        score_pairs<L, R>(job, row, scores);
    else
        score_rows<L, E, R>(job, row, scores);
    const int n_padded = (job.end - job.begin + 15) / 16 * 16;
    for (int r = 0; r < R; ++r) {
        const int limit = job.n_visible[row + r] < job.end ? job.n_visible[row + r] : job.end;
        job.total[row + r] = exponentiate<L, kPairs>(scores[r], job.n_hidden[row + r] - job.begin,
                                                     limit - job.begin, n_padded, job.peak[row + r]);
    }
    if constexpr (kPairs)
        weigh_all_pairs<L, R>(job, row, scores);
    else
        weigh_columns<L, E, R, kValueColumns<L, R>>(job, row, 0, scores);
}

// `n` rows, at most R, as one tile.
template <class L, class E, int R>
inline void attend_tile(const AttendChunk& job, int row, int n) {
    if (n == R) {
        if constexpr (kIsInt<E>) return attend_ints<L, E, R>(job, row);
        if constexpr (!kIsInt<E>) return attend_rows<L, E, R>(job, row);
    }
    if constexpr (R > 1) attend_tile<L, E, R - 1>(job, row, n);
}

// Tiles of like size: four rows are two and two where three would fit, so that none reads the cache alone.
template <class L, class E>
void attend(const AttendChunk& job) {
    constexpr int kMost = std::is_same_v<E, Bf16Pairs> ? L::kPairQueryTile
                          : kIsInt<E>                  ? L::kIntQueryTile
                                                       : L::kQueryTile;
    for (int row = 0; row < job.n_rows;) {
        const int n_left = job.n_rows - row;
        const int n_tiles = (n_left + kMost - 1) / kMost;
        const int n = (n_left + n_tiles - 1) / n_tiles;
        attend_tile<L, E, kMost>(job, row, n);
        row += n;
    }
}

template <class L>
inline void exp_two(float* x) {
    float lanes[16] = {x[0], x[1]};
    L::store(lanes, exp<L>(L::load(lanes)));
    x[0] = lanes[0];
    x[1] = lanes[1];
}

template <class L>
void merge(float* peak, float* total, float* sum, float part_peak, float part_total, const float* part_sum,
           int d_value) {
    const float new_peak = part_peak > *peak ? part_peak : *peak;
    float factors[] = {*peak - new_peak, part_peak - new_peak};
    exp_two<L>(factors);
    const float keep = factors[0], take = factors[1];
    *peak = new_peak;
    *total = *total * keep + part_total * take;
    for (int k = 0; k < d_value; k += 16) {
        const auto taken = L::mul(L::load(part_sum + k), L::set1(take));
        L::store(sum + k, L::fma(L::load(sum + k), L::set1(keep), taken));
    }
}

template <class L>
void normalize(const float* sum, float total, int n, float* y) {
    const auto divisor = L::set1(total);
    for (int k = 0; k < n; k += 16)
        store_part<L>(y + k, L::div(load_part<L>(sum + k, n - k), divisor), n - k);
}

}  // namespace zp::shared
