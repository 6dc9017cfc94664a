// Matrix products over packed groups of 16 rows, written once over lanes.
// Each output is one lane: it adds its blocks in the order of the columns, whatever the number of tokens
// or threads, so a token's result does not depend on the company it is computed in.
#pragma once

#include "kernels/kernels.hpp"

namespace zp::shared {

// --- Integer products: weight codes times int8 activations, one float step a block ---------------

template <class L>
struct CodesQ4_0 {
    static constexpr int kBytes = 288;
    using Dot = typename L::Dot4;
    static void start(Dot& dot, const QuantBlock&) { dot.init(); }
    static typename L::I finish(const Dot& dot, const QuantBlock& x) {
        return L::sub_int(dot.sum(), 8 * x.sum);
    }
    static typename L::F scale(const uint8_t* block) {
        return L::load_half(reinterpret_cast<const uint16_t*>(block + 256));
    }
    static typename L::F minimum(const uint8_t*, typename L::F sum, float) { return sum; }
};

template <class L>
struct CodesQ4_1 {
    static constexpr int kBytes = 320;
    using Dot = typename L::Dot4;
    static void start(Dot& dot, const QuantBlock&) { dot.init(); }
    static typename L::I finish(const Dot& dot, const QuantBlock&) { return dot.sum(); }
    static typename L::F scale(const uint8_t* block) {
        return L::load_half(reinterpret_cast<const uint16_t*>(block + 256));
    }
    static typename L::F minimum(const uint8_t* block, typename L::F sum, float scaled_sum) {
        return L::fma(L::load_half(reinterpret_cast<const uint16_t*>(block + 288)), L::set1(scaled_sum), sum);
    }
};

template <class L>
struct CodesQ8_0 {
    static constexpr int kBytes = 544;
    using Dot = typename L::Dot8;
    static void start(Dot& dot, const QuantBlock& x) { dot.init(x.sum); }
    static typename L::I finish(const Dot& dot, const QuantBlock&) { return dot.sum(); }
    static typename L::F scale(const uint8_t* block) {
        return L::load_half(reinterpret_cast<const uint16_t*>(block + 512));
    }
    static typename L::F minimum(const uint8_t*, typename L::F sum, float) { return sum; }
};

// The dot products of one block of 32 columns with R activation rows.
template <class L, int R, class Dot>
inline void dot_nibbles(const uint8_t* block, const QuantBlock* const* x, Dot* dots) {
    for (int i = 0; i < 4; ++i) {
        const auto bytes = L::load_bytes(block + 64 * i);
        const auto low = L::low_nibbles(bytes);
        const auto high = L::high_nibbles(bytes);
        for (int r = 0; r < R; ++r) {
            dots[r].add(low, x[r]->q + 4 * i);
            dots[r].add(high, x[r]->q + 16 + 4 * i);
        }
    }
}

template <class L, int R, class Dot>
inline void dot_bytes(const uint8_t* block, const QuantBlock* const* x, Dot* dots) {
    for (int i = 0; i < 8; ++i) {
        const auto bytes = L::load_bytes(block + 64 * i);
        for (int r = 0; r < R; ++r) dots[r].add(bytes, x[r]->q + 4 * i);
    }
}

// M tokens of P parts each; the parts of a token add to the same sums.
template <class L, template <class> class Codes, bool kNibbles, int M, int P>
inline void int8_tile(const MatmulInt8& job, const uint8_t* group, int first_token, float* y) {
    using C = Codes<L>;
    constexpr int kRows = M * P;
    typename L::F sums[M];
    const QuantBlock* x[kRows];
    for (int m = 0; m < M; ++m) sums[m] = L::zero();
    for (int r = 0; r < kRows; ++r) x[r] = job.x + static_cast<size_t>(first_token * P + r) * job.n_blocks;
    for (int b = 0; b < job.n_blocks; ++b, group += C::kBytes) {
        typename C::Dot dots[kRows];
        for (int r = 0; r < kRows; ++r) C::start(dots[r], *x[r]);
        if constexpr (kNibbles) {
            dot_nibbles<L, kRows>(group, x, dots);
        } else {
            dot_bytes<L, kRows>(group, x, dots);
        }
        const auto scale = C::scale(group);
        for (int r = 0; r < kRows; ++r) {
            const auto exact = L::to_float(C::finish(dots[r], *x[r]));
            sums[r / P] = L::fma(exact, L::mul(scale, L::set1(x[r]->scale)), sums[r / P]);
            sums[r / P] = C::minimum(group, sums[r / P], x[r]->scaled_sum);
            ++x[r];
        }
    }
    for (int m = 0; m < M; ++m) L::store(y + static_cast<size_t>(first_token + m) * job.y_stride, sums[m]);
}

template <class L, template <class> class Codes, bool kNibbles, int P>
inline void int8_group(const MatmulInt8& job, const uint8_t* group, float* y) {
    constexpr int kTile = L::kRowTile / P;
    int m = 0;
    for (; m + kTile <= job.n_tokens; m += kTile) int8_tile<L, Codes, kNibbles, kTile, P>(job, group, m, y);
    for (; m < job.n_tokens; ++m) int8_tile<L, Codes, kNibbles, 1, P>(job, group, m, y);
}

template <class L, template <class> class Codes, bool kNibbles>
void matmul_int8(const MatmulInt8& job) {
    for (int g = 0; g < job.n_groups; ++g) {
        const uint8_t* group = job.weights + static_cast<size_t>(g) * job.group_bytes;
        if (job.n_parts == 1) {
            int8_group<L, Codes, kNibbles, 1>(job, group, job.y + kGroupRows * g);
        } else {
            int8_group<L, Codes, kNibbles, 2>(job, group, job.y + kGroupRows * g);
        }
    }
}

// --- Float products: every weight becomes a float and is multiplied with a float activation -------

// Adds column k of 16 rows for M tokens: even and odd columns have a sum each, to hide the latency.
template <class L, int M>
inline void add_column(typename L::F w, const float* const* x, int k, typename L::F (*sums)[2]) {
    for (int m = 0; m < M; ++m) sums[m][k & 1] = L::fma(w, L::set1(x[m][k]), sums[m][k & 1]);
}

template <class L>
struct FloatF32 {
    static constexpr int kBytes = 64;
    static typename L::F load(const uint8_t* p) { return L::load(reinterpret_cast<const float*>(p)); }
};
template <class L>
struct FloatF16 {
    static constexpr int kBytes = 32;
    static typename L::F load(const uint8_t* p) { return L::load_half(reinterpret_cast<const uint16_t*>(p)); }
};
template <class L>
struct FloatBF16 {
    static constexpr int kBytes = 32;
    static typename L::F load(const uint8_t* p) { return L::load_bf16(reinterpret_cast<const uint16_t*>(p)); }
};

// Walks the columns of a group of plain floats.
template <class L, template <class> class W>
struct PlainColumns {
    template <int M>
    static void run(const uint8_t* group, int n_cols, const float* const* x, typename L::F (*sums)[2]) {
        int k = 0;
        for (; k + 2 <= n_cols; k += 2, group += 2 * W<L>::kBytes) {
            add_column<L, M>(W<L>::load(group), x, k, sums);
            add_column<L, M>(W<L>::load(group + W<L>::kBytes), x, k + 1, sums);
        }
        if (k < n_cols) add_column<L, M>(W<L>::load(group), x, k, sums);
    }
};

// Adds the four columns 4 * i + j of a vector of bytes, each turned into code * scale + minimum.
template <class L, int M, class Decode>
inline void add_four(typename L::Bytes bytes, const Decode& decode, const float* const* x, int k,
                     typename L::F (*sums)[2]) {
    add_column<L, M>(decode(L::to_float(L::template column<0>(bytes))), x, k, sums);
    add_column<L, M>(decode(L::to_float(L::template column<1>(bytes))), x, k + 1, sums);
    add_column<L, M>(decode(L::to_float(L::template column<2>(bytes))), x, k + 2, sums);
    add_column<L, M>(decode(L::to_float(L::template column<3>(bytes))), x, k + 3, sums);
}

template <class L, template <class> class Codes, bool kNibbles>
struct CodeColumns {
    template <int M>
    static void run(const uint8_t* group, int n_cols, const float* const* x, typename L::F (*sums)[2]) {
        using F = typename L::F;
        for (int k = 0; k < n_cols; k += kBlockCols, group += Codes<L>::kBytes) {
            const F scale = Codes<L>::scale(group);
            const uint16_t* after_scale = reinterpret_cast<const uint16_t*>(group + 288);
            const auto decode = [&](F code) {
                if constexpr (!kNibbles) return L::mul(L::sub(code, L::set1(128.0f)), scale);
                if constexpr (Codes<L>::kBytes == CodesQ4_0<L>::kBytes)
                    return L::mul(L::sub(code, L::set1(8.0f)), scale);
                return L::add(L::mul(code, scale), L::load_half(after_scale));
            };
            if constexpr (kNibbles) {
                for (int i = 0; i < 4; ++i)
                    add_four<L, M>(L::low_nibbles(L::load_bytes(group + 64 * i)), decode, x, k + 4 * i, sums);
                for (int i = 0; i < 4; ++i)
                    add_four<L, M>(L::high_nibbles(L::load_bytes(group + 64 * i)), decode, x, k + 16 + 4 * i,
                                   sums);
            } else {
                for (int i = 0; i < 8; ++i)
                    add_four<L, M>(L::load_bytes(group + 64 * i), decode, x, k + 4 * i, sums);
            }
        }
    }
};

template <class L, class Columns, int M>
inline void float_tile(const MatmulFloat& job, const uint8_t* group, int first_token, float* y) {
    typename L::F sums[M][2];
    const float* x[M];
    for (int m = 0; m < M; ++m) {
        sums[m][0] = sums[m][1] = L::zero();
        x[m] = job.x + static_cast<size_t>(first_token + m) * job.x_stride;
    }
    Columns::template run<M>(group, job.n_cols, x, sums);
    for (int m = 0; m < M; ++m)
        L::store(y + static_cast<size_t>(first_token + m) * job.y_stride, L::add(sums[m][0], sums[m][1]));
}

template <class L, class Columns>
void matmul_float(const MatmulFloat& job) {
    for (int g = 0; g < job.n_groups; ++g) {
        const uint8_t* group = job.weights + static_cast<size_t>(g) * job.group_bytes;
        float* y = job.y + kGroupRows * g;
        int m = 0;
        for (; m + L::kDenseTile <= job.n_tokens; m += L::kDenseTile)
            float_tile<L, Columns, L::kDenseTile>(job, group, m, y);
        for (; m < job.n_tokens; ++m) float_tile<L, Columns, 1>(job, group, m, y);
    }
}

}  // namespace zp::shared
