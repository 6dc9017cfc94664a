// Attention over half or float keys and values, by fused multiply-adds. Keys are stored in tiles of 16
// positions, so that a lane is a position and scores need no sum across lanes; values are stored by position,
// so that a lane is a column.
#pragma once

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

// Stores the scores of 16 positions from s on: soft-capped, and -infinity at positions masked for this row.
template <class L>
inline void store_scores(const AttendChunk& job, int row, int s, typename L::F sum, float* scores) {
    if (job.softcap != 0.0f) sum = soft_cap<L>(sum, job.softcap);
    const int n = (job.n_visible[row] < job.end ? job.n_visible[row] : job.end) - s;
    if (n < 16 || job.n_hidden[row] > s) sum = mask_scores<L>(sum, job.n_hidden[row] - s, n);
    L::store(scores + (s - job.begin), sum);
}

// Computes scores[r][s - begin] for R rows; masked positions become -infinity.
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

// Replaces scores by exp(score - peak) and returns their sum.
template <class L>
inline float exponentiate(float* scores, int n_hidden, int n_visible, int n_padded, float peak) {
    auto total = L::zero();
    for (int i = 0; i < n_padded; i += 16) {
        auto weight = exp<L>(L::sub(L::load(scores + i), L::set1(peak)));
        if (n_hidden > i || n_visible < i + 16)
            weight = L::keep_first(L::drop_first(weight, n_hidden - i, 0.0f), n_visible - i, 0.0f);
        L::store(scores + i, weight);
        total = L::add(total, weight);
    }
    return L::reduce_add(total);
}

// Computes sum[r][k .. k + 16 * C) over all positions of the chunk, in order.
template <class L, class E, int R, int C>
inline void accumulate_values(const AttendChunk& job, int row, int k, float (*weights)[kChunk]) {
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
            L::store(job.out.sum + static_cast<size_t>(row + r) * job.d_value + k + 16 * c, sums[r][c]);
}

// Processes the columns from k on, 16 * C at a time, then fewer. Fewer passes read longer contiguous runs of
// memory.
template <class L, class E, int R, int C>
inline void accumulate_columns(const AttendChunk& job, int row, int k, float (*weights)[kChunk]) {
    for (; k + 16 * C <= job.d_value; k += 16 * C) accumulate_values<L, E, R, C>(job, row, k, weights);
    if constexpr (C > 1) accumulate_columns<L, E, R, C / 2>(job, row, k, weights);
}

template <class L, class E, int R>
inline void attend_floats(const AttendChunk& job, int row) {
    alignas(64) float scores[R][kChunk];
    score_rows<L, E, R>(job, row, scores);
    const int n_padded = (job.end - job.begin + 15) / 16 * 16;
    for (int r = 0; r < R; ++r) {
        const int limit = job.n_visible[row + r] < job.end ? job.n_visible[row + r] : job.end;
        job.out.peak[row + r] = largest_score<L>(scores[r], n_padded);
        job.out.total[row + r] = exponentiate<L>(scores[r], job.n_hidden[row + r] - job.begin,
                                                 limit - job.begin, n_padded, job.out.peak[row + r]);
    }
    accumulate_columns<L, E, R, kValueColumns<L, R>>(job, row, 0, scores);
}

template <class L, class E>
inline void attend_floats(const AttendChunk& job) {
    for_each_tile<L::kQueryTile>(job.n_rows, [&](auto n, int row) { attend_floats<L, E, n>(job, row); });
}

}  // namespace zp::shared
