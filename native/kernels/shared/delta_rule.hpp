// The gated delta rule (kernels.hpp), generic over lanes.
//
// The columns of a head's state do not depend on each other, so a few of them pass all tokens while they are
// in the first-level cache: the state is read from memory once and written once, whatever the number of
// tokens. A token needs two dot products of each column: one for what is stored under its key, one for its
// output. The latter is that of the state before the token plus (q . k) u, so both come from one sweep, which
// also makes the update of the token before: T tokens take T + 1 sweeps.
#pragma once

#include "kernels/shared/float_ops.hpp"

namespace zp::shared {

// N vectors of columns; or the last columns, fewer than a vector.
template <class L, int N, bool kIsPart>
struct DeltaColumns {
    using F = typename L::F;
    F u[N], stored[N], read[N];
    int n_left;  // columns, if they are part of a vector

    F load(const float* p) const { return kIsPart ? load_part<L>(p, n_left) : L::load(p); }
    void store(float* p, F s) const {
        if constexpr (kIsPart) return store_part<L>(p, s, n_left);
        L::store(p, s);
    }

    // S = decay S + k u^T for row values `s` of S.
    static F updated(F s, float decay, float k, F u) {
        return L::fma(L::set1(k), u, L::mul(L::set1(decay), s));
    }

    void add_products(int j, F s, float k, float q) {
        stored[j] = L::fma(L::set1(k), s, stored[j]);
        read[j] = L::fma(L::set1(q), s, read[j]);
    }

    void clear() {
        for (int j = 0; j < N; ++j) stored[j] = read[j] = L::zero();
    }

    // After the sweep of token t: its u, and its output.
    void finish(const DeltaRule& a, int t, int column) {
        const float* v = a.v + static_cast<size_t>(t) * a.v_stride + column;
        float* out = a.out + static_cast<size_t>(t) * a.out_stride + column;
        const auto decay = L::set1(a.decay[t]), share = L::set1(a.share[t]), dots = L::set1(a.dots[t]);
        for (int j = 0; j < N; ++j) {
            u[j] = L::mul(share, L::fnma(decay, stored[j], load(v + 16 * j)));
            store(out + 16 * j, L::fma(dots, u[j], L::mul(decay, read[j])));
        }
    }

    void run(const DeltaRule& a, int column) {
        const size_t stride = static_cast<size_t>(a.d_value);
        n_left = a.d_value - column;
        const float* from = a.state + column;
        float* const to = a.next_state + column;
        clear();
        for (int i = 0; i < a.d_key; ++i)
            for (int j = 0; j < N; ++j)
                add_products(j, load(from + static_cast<size_t>(i) * stride + 16 * j), a.k[i], a.q[i]);
        finish(a, 0, column);
        for (int t = 1; t < a.n_tokens; ++t, from = to) {
            const float* k = a.k + static_cast<size_t>(t) * a.d_key;
            const float* q = a.q + static_cast<size_t>(t) * a.d_key;
            const float* k_before = k - a.d_key;
            const float decay = a.decay[t - 1];
            clear();
            for (int i = 0; i < a.d_key; ++i) {
                for (int j = 0; j < N; ++j) {
                    const size_t at = static_cast<size_t>(i) * stride + 16 * j;
                    const F s = updated(load(from + at), decay, k_before[i], u[j]);
                    store(to + at, s);
                    add_products(j, s, k[i], q[i]);
                }
            }
            finish(a, t, column);
        }
        const float* k = a.k + static_cast<size_t>(a.n_tokens - 1) * a.d_key;
        const float decay = a.decay[a.n_tokens - 1];
        for (int i = 0; i < a.d_key; ++i) {
            for (int j = 0; j < N; ++j) {
                const size_t at = static_cast<size_t>(i) * stride + 16 * j;
                store(to + at, updated(load(from + at), decay, k[i], u[j]));
            }
        }
    }
};

template <class L>
void delta_rule(const DeltaRule& a) {
    if (a.n_tokens == 0) return;
    constexpr int kColumns = 16 * L::kDeltaTile;
    int column = 0;
    for (; column + kColumns <= a.d_value; column += kColumns)
        DeltaColumns<L, L::kDeltaTile, false>().run(a, column);
    for (; column + 16 <= a.d_value; column += 16) DeltaColumns<L, 1, false>().run(a, column);
    if (column < a.d_value) DeltaColumns<L, 1, true>().run(a, column);
}

}  // namespace zp::shared
