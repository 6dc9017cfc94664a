// What the scores of a chunk go through, however they were made: mask, cap and softmax.
#pragma once

#include "formats/half.hpp"
#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

// What half.hpp's round_to_pair is for one number: of numbers that are no smaller than its floor, and of
// others.
template <class L>
inline typename L::F round_large_to_pair(typename L::F x) {
    const auto scaled = L::mul(x, L::set1(kPairSplit));
    return L::sub(scaled, L::sub(scaled, x));
}
template <class L>
inline typename L::F round_to_pair(typename L::F x) {
    const auto floor = L::set1(kPairFloor);
    return round_large_to_pair<L>(L::sub(L::add(x, floor), floor));
}

// The scores of 16 positions from s on, as the softmax takes them: capped, and -infinity where the row may
// not see.
template <class L>
inline void store_scores(const AttendChunk& job, int row, int s, typename L::F sum, float* scores) {
    constexpr float kHidden = -__builtin_inff();
    if (job.softcap != 0.0f) sum = soft_cap<L>(sum, job.softcap);
    const int n = (job.n_visible[row] < job.end ? job.n_visible[row] : job.end) - s;
    if (n < 16 || job.n_hidden[row] > s)
        sum = L::keep_first(L::drop_first(sum, job.n_hidden[row] - s, kHidden), n, kHidden);
    L::store(scores + (s - job.begin), sum);
}

// e to this is above the floor of round_to_pair.
inline constexpr float kLeastExponent = -38.0f;

// Turns scores into exp(score - peak), in place; returns their sum. Where products are of pairs, the weights
// are rounded for them before they are summed, so that they still share out one whole.
template <class L, bool is_rounded>
inline float exponentiate(float* scores, int n_hidden, int n_visible, int n_padded, float& peak) {
    auto largest = L::set1(-3.0e38f);
    for (int i = 0; i < n_padded; i += 16) largest = L::max(largest, L::load(scores + i));
    peak = L::reduce_max(largest);
    auto total = L::zero();
    for (int i = 0; i < n_padded; i += 16) {
        auto seen = exp<L>(L::sub(L::load(scores + i), L::set1(peak)), is_rounded ? kLeastExponent : -87.0f);
        if (n_hidden > i || n_visible < i + 16)
            seen = L::keep_first(L::drop_first(seen, n_hidden - i, 0.0f), n_visible - i, 0.0f);
        if constexpr (is_rounded) seen = round_large_to_pair<L>(seen);
        L::store(scores + i, seen);
        total = L::add(total, seen);
    }
    return L::reduce_add(total);
}

// How many columns of values (16 each) R rows take at once: as many as leave their sums in registers.
template <class L, int R>
inline constexpr int kValueColumns = (R + 1) * 4 < L::kValues   ? 4
                                     : (R + 1) * 2 < L::kValues ? 2
                                                                : 1;

}  // namespace zp::shared
