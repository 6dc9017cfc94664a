// The scan of a state-space model (kernels/recurrence.hpp), generic over lanes.
//
// The columns of a head's state do not depend on each other, so a few of them pass all tokens while they are
// in the first-level cache: the state is read from memory once and written once, whatever the number of
// tokens.
#pragma once

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

// N vectors of columns, from `column` on.
template <class L, int N>
void scan_columns(const StateScan& a, int column, size_t stride) {
    using F = typename L::F;
    const float* from = a.state + column;
    float* const to = a.next_state + column;
    for (int t = 0; t < a.n_tokens; ++t, from = to) {
        const size_t row = static_cast<size_t>(t);
        const float* b = a.b + row * a.b_stride;
        const float* c = a.c + row * a.b_stride;
        const float* x = a.x + row * a.x_stride + column;
        const F decay = L::set1(a.decay[t]), step = L::set1(a.step[t]);
        F added[N], read[N];
        for (int j = 0; j < N; ++j) {
            added[j] = L::mul(step, load_part<L>(x + 16 * j, a.d_head - column - 16 * j));
            read[j] = L::zero();
        }
        for (int i = 0; i < a.d_state; ++i) {
            const F b_i = L::set1(b[i]), c_i = L::set1(c[i]);
            for (int j = 0; j < N; ++j) {
                const size_t at = static_cast<size_t>(i) * stride + static_cast<size_t>(16 * j);
                const F s = L::fma(b_i, added[j], L::mul(decay, L::load(from + at)));
                L::store(to + at, s);
                read[j] = L::fma(c_i, s, read[j]);
            }
        }
        float* out = a.out + row * a.out_stride + column;
        for (int j = 0; j < N; ++j) {
            const int n_left = a.d_head - column - 16 * j;
            const F own = load_part<L>(x + 16 * j, n_left);
            store_part<L>(out + 16 * j, L::fma(L::set1(a.skip), own, read[j]), n_left);
        }
    }
}

template <class L>
void state_scan(const StateScan& a) {
    constexpr int kVectors = 2 * L::kDeltaTile;
    const int width = (a.d_head + 15) / 16 * 16;
    int column = 0;
    for (; column + 16 * kVectors <= width; column += 16 * kVectors)
        scan_columns<L, kVectors>(a, column, static_cast<size_t>(width));
    for (; column < width; column += 16) scan_columns<L, 1>(a, column, static_cast<size_t>(width));
}

}  // namespace zp::shared
