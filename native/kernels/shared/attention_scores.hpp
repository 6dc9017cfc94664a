// What both kinds of attention share: scores with their mask and cap, and the shape of tiles.
#pragma once

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

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

template <class L>
inline float largest_score(const float* scores, int n) {
    auto largest = L::set1(-3.0e38f);
    for (int i = 0; i < n; i += 16) largest = L::max(largest, L::load(scores + i));
    return L::reduce_max(largest);
}

// How many columns of values (16 each) R rows take at once: as many as leave their sums in registers.
template <class L, int R>
inline constexpr int kValueColumns = (R + 1) * 4 < L::kValues   ? 4
                                     : (R + 1) * 2 < L::kValues ? 2
                                                                : 1;

}  // namespace zp::shared
