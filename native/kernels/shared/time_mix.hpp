// The state of RWKV-7 (kernels/recurrence.hpp), generic over lanes.
//
// As in delta_rule.hpp, a few columns of the state pass all tokens while they are in the first-level cache.
// What the next token removes is read in the sweep that updates the state, so T tokens take T + 1 sweeps.
#pragma once

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

// N vectors of columns, from `column` on.
template <class L, int N>
void mix_columns(const TimeMix& a, int column, size_t width) {
    using F = typename L::F;
    const float* from = a.state + column;
    float* const to = a.next_state + column;
    F removed[N], next_removed[N], value[N], read[N];
    for (int j = 0; j < N; ++j) removed[j] = L::zero();
    for (int i = 0; i < a.d_head; ++i)
        for (int j = 0; j < N; ++j) {
            const size_t at = static_cast<size_t>(i) * width + static_cast<size_t>(16 * j);
            removed[j] = L::fma(L::set1(a.removal[i]), L::load(from + at), removed[j]);
        }
    for (int t = 0; t < a.n_tokens; ++t, from = to) {
        const size_t row = static_cast<size_t>(t) * a.stride;
        const float *decay = a.decay + row, *key = a.key + row, *receptance = a.receptance + row;
        const float *removal = a.removal + row, *rate = a.rate + row;
        const float* next_removal = t + 1 < a.n_tokens ? removal + a.stride : nullptr;
        for (int j = 0; j < N; ++j) {
            value[j] = load_part<L>(a.value + row + column + 16 * j, a.d_head - column - 16 * j);
            read[j] = next_removed[j] = L::zero();
        }
        for (int i = 0; i < a.d_head; ++i) {
            const F decay_i = L::set1(decay[i]), key_i = L::set1(key[i]);
            const F share_i = L::set1(rate[i] * removal[i]), receptance_i = L::set1(receptance[i]);
            const F next_i = L::set1(next_removal == nullptr ? 0.0f : next_removal[i]);
            for (int j = 0; j < N; ++j) {
                const size_t at = static_cast<size_t>(i) * width + static_cast<size_t>(16 * j);
                F s = L::mul(decay_i, L::load(from + at));
                s = L::fma(key_i, value[j], L::fnma(share_i, removed[j], s));
                L::store(to + at, s);
                read[j] = L::fma(receptance_i, s, read[j]);
                next_removed[j] = L::fma(next_i, s, next_removed[j]);
            }
        }
        for (int j = 0; j < N; ++j) {
            store_part<L>(a.out + row + column + 16 * j, read[j], a.d_head - column - 16 * j);
            removed[j] = next_removed[j];
        }
    }
}

template <class L>
void time_mix(const TimeMix& a) {
    if (a.n_tokens == 0) return;
    constexpr int kVectors = L::kDeltaTile;
    const int width = (a.d_head + 15) / 16 * 16;
    int column = 0;
    for (; column + 16 * kVectors <= width; column += 16 * kVectors)
        mix_columns<L, kVectors>(a, column, static_cast<size_t>(width));
    for (; column < width; column += 16) mix_columns<L, 1>(a, column, static_cast<size_t>(width));
}

}  // namespace zp::shared
