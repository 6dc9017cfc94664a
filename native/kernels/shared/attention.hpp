// Attention over one chunk of positions with an online softmax across chunks (Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018). Keys lie in tiles of 16 positions, so that a lane is
// a position and a score needs no sum across lanes; values lie by position, so that a lane is a column.
#pragma once

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

template <class L>
inline typename L::F load_element(const uint16_t* p) {
    return L::load_half(p);
}
template <class L>
inline typename L::F load_element(const float* p) {
    return L::load(p);
}
template <class L>
inline typename L::F load_element(const int8_t* p) {
    return L::to_float(L::widen(L::load_rows(reinterpret_cast<const uint8_t*>(p))));
}

// Whether an element counts steps, whose size each position has of its own.
template <class E>
inline constexpr bool kHasSteps = sizeof(E) == 1;

// scores[r][s - begin] for R rows; positions a row may not see become -infinity.
template <class L, class E, int R>
inline void score_rows(const AttendChunk& job, int row, float (*scores)[kChunk]) {
    constexpr float kHidden = -__builtin_inff();
    const E* keys = static_cast<const E*>(job.keys);
    for (int s = job.begin; s < job.end; s += 16, keys += 16 * job.d_head) {
        typename L::F sums[R];
        for (int r = 0; r < R; ++r) sums[r] = L::zero();
        for (int k = 0; k < job.d_head; ++k) {
            const auto key = load_element<L>(keys + 16 * k);
            for (int r = 0; r < R; ++r) sums[r] = L::fma(L::set1(job.q[row + r][k]), key, sums[r]);
        }
        if constexpr (kHasSteps<E>) {
            const auto steps = L::load(job.key_steps + (s - job.begin));
            for (int r = 0; r < R; ++r) sums[r] = L::mul(sums[r], steps);
        }
        for (int r = 0; r < R; ++r) {
            if (job.softcap != 0.0f) sums[r] = soft_cap<L>(sums[r], job.softcap);
            int n = (job.n_visible[row + r] < job.end ? job.n_visible[row + r] : job.end) - s;
            const auto past = L::drop_first(sums[r], job.n_hidden[row + r] - s, kHidden);
            L::store(scores[r] + (s - job.begin), L::keep_first(past, n, kHidden));
        }
    }
}

// Turns scores into exp(score - peak), in place; returns their sum.
template <class L>
inline float exponentiate(float* scores, int n_hidden, int n_visible, int n_padded, float& peak) {
    auto largest = L::set1(-3.0e38f);
    for (int i = 0; i < n_padded; i += 16) largest = L::max(largest, L::load(scores + i));
    peak = L::reduce_max(largest);
    auto total = L::zero();
    for (int i = 0; i < n_padded; i += 16) {
        const auto e = exp<L>(L::sub(L::load(scores + i), L::set1(peak)));
        const auto seen = L::keep_first(L::drop_first(e, n_hidden - i, 0.0f), n_visible - i, 0.0f);
        L::store(scores + i, seen);
        total = L::add(total, seen);
    }
    return L::reduce_add(total);
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

// Columns k and after, 16 * C at a time and then fewer. The fewer passes, the longer the runs of memory that
// one reads.
template <class L, class E, int R, int C>
inline void weigh_columns(const AttendChunk& job, int row, int k, float (*weights)[kChunk]) {
    for (; k + 16 * C <= job.d_value; k += 16 * C) weigh_values<L, E, R, C>(job, row, k, weights);
    if constexpr (C > 1) weigh_columns<L, E, R, C / 2>(job, row, k, weights);
}

// How many columns of values (16 each) R rows take at once: as many as leave their sums in registers.
template <class L, int R>
inline constexpr int kValueColumns = (R + 1) * 4 < L::kValues   ? 4
                                     : (R + 1) * 2 < L::kValues ? 2
                                                                : 1;

template <class L, class E, int R>
inline void attend_rows(const AttendChunk& job, int row) {
    alignas(64) float scores[R][kChunk];
    score_rows<L, E, R>(job, row, scores);
    const int n_padded = (job.end - job.begin + 15) / 16 * 16;
    for (int r = 0; r < R; ++r) {
        const int limit = job.n_visible[row + r] < job.end ? job.n_visible[row + r] : job.end;
        job.total[row + r] = exponentiate<L>(scores[r], job.n_hidden[row + r] - job.begin, limit - job.begin,
                                             n_padded, job.peak[row + r]);
        if constexpr (kHasSteps<E>)
            for (int i = 0; i < n_padded; i += 16)
                L::store(scores[r] + i, L::mul(L::load(scores[r] + i), L::load(job.value_steps + i)));
    }
    weigh_columns<L, E, R, kValueColumns<L, R>>(job, row, 0, scores);
}

// `n` rows, at most R, as one tile.
template <class L, class E, int R>
inline void attend_tile(const AttendChunk& job, int row, int n) {
    if (n == R) return attend_rows<L, E, R>(job, row);
    if constexpr (R > 1) attend_tile<L, E, R - 1>(job, row, n);
}

// Tiles of like size: four rows are two and two where three would fit, so that none reads the cache alone.
template <class L, class E>
void attend(const AttendChunk& job) {
    for (int row = 0; row < job.n_rows;) {
        const int n_left = job.n_rows - row;
        const int n_tiles = (n_left + L::kQueryTile - 1) / L::kQueryTile;
        const int n = (n_left + n_tiles - 1) / n_tiles;
        attend_tile<L, E, L::kQueryTile>(job, row, n);
        row += n;
    }
}

template <class L>
inline float exp_one(float x) {
    float lanes[16];
    L::store(lanes, exp<L>(L::set1(x)));
    return lanes[0];
}

template <class L>
void merge(float* peak, float* total, float* sum, float part_peak, float part_total, const float* part_sum,
           int d_value) {
    const float new_peak = part_peak > *peak ? part_peak : *peak;
    const float keep = exp_one<L>(*peak - new_peak);
    const float take = exp_one<L>(part_peak - new_peak);
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
