// Norms, activation functions and int8 quantization of activations, generic over lanes.
#pragma once

#include "kernels/kernels.hpp"

namespace zp::shared {

// e^x within 2 ulp for x in [lowest, 88], clamped outside. NaN stays NaN (max and min return their second
// operand for it), so that a broken score does not pass for the lowest one. Cephes expf: x = n ln2 + r,
// polynomial in r, times 2^n (S. L. Moshier, Cephes Math Library, exp).
template <class L>
inline typename L::F exp(typename L::F x, float lowest = -87.0f) {
    using F = typename L::F;
    x = L::min(L::set1(88.0f), L::max(L::set1(lowest), x));
    const auto n_int = L::round_to_int(L::mul(x, L::set1(1.44269504088896341f)));
    const F n = L::to_float(n_int);
    F r = L::fma(n, L::set1(-0.693359375f), x);
    r = L::fma(n, L::set1(2.12194440e-4f), r);
    F p = L::set1(1.9875691500e-4f);
    p = L::fma(p, r, L::set1(1.3981999507e-3f));
    p = L::fma(p, r, L::set1(8.3334519073e-3f));
    p = L::fma(p, r, L::set1(4.1665795894e-2f));
    p = L::fma(p, r, L::set1(1.6666665459e-1f));
    p = L::fma(p, r, L::set1(5.0000001201e-1f));
    p = L::fma(p, L::mul(r, r), L::add(r, L::set1(1.0f)));
    return L::mul(p, L::exp2_int(n_int));
}

// Loads 16 elements, or the n that are left padded with zeros; store_part is its counterpart.
template <class L>
inline typename L::F load_part(const float* p, int n) {
    if (n >= 16) return L::load(p);
    float tail[16] = {};
    for (int i = 0; i < n; ++i) tail[i] = p[i];
    return L::load(tail);
}

template <class L>
inline void store_part(float* p, typename L::F value, int n) {
    if (n >= 16) return L::store(p, value);
    float tail[16];
    L::store(tail, value);
    for (int i = 0; i < n; ++i) p[i] = tail[i];
}

template <class L>
bool rms_norm(const float* x, const float* gain, float eps, int n, float* y) {
    auto squares = L::zero();
    for (int i = 0; i < n; i += 16) {
        const auto v = load_part<L>(x + i, n - i);
        squares = L::fma(v, v, squares);
    }
    const float mean = L::reduce_add(squares) / static_cast<float>(n);
    const auto scale = L::set1(1.0f / __builtin_sqrtf(mean + eps));
    for (int i = 0; i < n; i += 16) {
        const auto v = L::mul(load_part<L>(x + i, n - i), scale);
        store_part<L>(y + i, L::mul(v, load_part<L>(gain + i, n - i)), n - i);
    }
    return mean <= 3.4028234e38f;  // false for infinity and for NaN
}

template <class L>
bool layer_norm(const float* x, const float* gain, const float* bias, float eps, int n, float* y) {
    auto sums = L::zero();
    for (int i = 0; i < n; i += 16) sums = L::add(sums, load_part<L>(x + i, n - i));
    const float mean = L::reduce_add(sums) / static_cast<float>(n);
    const auto center = L::set1(mean);
    auto squares = L::zero();
    for (int i = 0; i < n; i += 16) {
        const auto v = L::keep_first(L::sub(load_part<L>(x + i, n - i), center), n - i, 0.0f);
        squares = L::fma(v, v, squares);
    }
    const float variance = L::reduce_add(squares) / static_cast<float>(n);
    const auto scale = L::set1(1.0f / __builtin_sqrtf(variance + eps));
    for (int i = 0; i < n; i += 16) {
        auto v = L::mul(L::sub(load_part<L>(x + i, n - i), center), scale);
        v = L::mul(v, load_part<L>(gain + i, n - i));
        if (bias != nullptr) v = L::add(v, load_part<L>(bias + i, n - i));
        store_part<L>(y + i, v, n - i);
    }
    return variance <= 3.4028234e38f;  // false for infinity and for NaN
}

// 1 - 2 / (e^2x + 1).
template <class L>
inline typename L::F tanh(typename L::F x) {
    const auto one = L::set1(1.0f);
    const auto e = exp<L>(L::add(x, x));
    return L::sub(one, L::div(L::set1(2.0f), L::add(e, one)));
}

// Abramowitz and Stegun, formula 7.1.26: within 1.5e-7.
template <class L>
inline typename L::F erf(typename L::F x) {
    const auto one = L::set1(1.0f);
    const auto magnitude = L::abs(x);
    const auto t = L::div(one, L::fma(L::set1(0.3275911f), magnitude, one));
    auto p = L::set1(1.061405429f);
    p = L::fma(p, t, L::set1(-1.453152027f));
    p = L::fma(p, t, L::set1(1.421413741f));
    p = L::fma(p, t, L::set1(-0.284496736f));
    p = L::fma(p, t, L::set1(0.254829592f));
    const auto tail = L::mul(L::mul(p, t), exp<L>(L::sub(L::zero(), L::mul(x, x))));
    return L::copy_sign(L::sub(one, tail), x);
}

template <class L>
inline typename L::F sigmoid(typename L::F x) {
    const auto one = L::set1(1.0f);
    return L::div(one, L::add(one, exp<L>(L::sub(L::zero(), x))));
}

// max(x, 0) + log(1 + t) with t = e^-|x|. The logarithm is 2 atanh(s) with s = t / (2 + t), at most 1/3:
// eight terms of its series are exact to a float.
template <class L>
inline typename L::F softplus(typename L::F x) {
    const auto t = exp<L>(L::sub(L::zero(), L::abs(x)));
    const auto s = L::div(t, L::add(L::set1(2.0f), t));
    const auto square = L::mul(s, s);
    auto series = L::set1(2.0f / 15);
    for (const float divisor : {13.0f, 11.0f, 9.0f, 7.0f, 5.0f, 3.0f, 1.0f})
        series = L::fma(series, square, L::set1(2.0f / divisor));
    return L::fma(series, s, L::max(L::zero(), x));
}

template <class L, Activation kind>
inline typename L::F activation(typename L::F x) {
    const auto one = L::set1(1.0f);
    if constexpr (kind == Activation::kRelu) {
        return L::max(x, L::zero());
    } else if constexpr (kind == Activation::kSilu) {
        return L::mul(x, sigmoid<L>(x));
    } else if constexpr (kind == Activation::kSigmoid) {
        return sigmoid<L>(x);
    } else if constexpr (kind == Activation::kSoftplus) {
        return softplus<L>(x);
    } else if constexpr (kind == Activation::kGelu) {
        const auto half = L::mul(L::set1(0.5f), x);
        return L::mul(half, L::add(one, erf<L>(L::mul(x, L::set1(0.70710678f)))));  // x / sqrt(2)
    } else {
        // Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016: 0.5 x (1 + tanh(sqrt(2/pi)(x + 0.044715
        // x^3))).
        const auto cube = L::mul(L::mul(x, x), x);
        const auto inner = L::mul(L::set1(0.79788456f), L::fma(L::set1(0.044715f), cube, x));
        return L::mul(L::mul(L::set1(0.5f), x), L::add(one, tanh<L>(inner)));
    }
}

template <class L, Activation kind>
void activate(const float* x, int n, float* y) {
    for (int i = 0; i < n; i += 16)
        store_part<L>(y + i, activation<L, kind>(load_part<L>(x + i, n - i)), n - i);
}

template <class L, Activation kind>
void gate(const float* gate, const float* up, int n, float* y) {
    for (int i = 0; i < n; i += 16) {
        const auto gated = activation<L, kind>(load_part<L>(gate + i, n - i));
        store_part<L>(y + i, L::mul(gated, load_part<L>(up + i, n - i)), n - i);
    }
}

template <class L>
inline typename L::F soft_cap(typename L::F x, float cap) {
    return L::mul(L::set1(cap), tanh<L>(L::div(x, L::set1(cap))));
}

template <class L>
void softcap_in_place(float cap, int n, float* x) {
    for (int i = 0; i < n; i += 16) store_part<L>(x + i, soft_cap<L>(load_part<L>(x + i, n - i), cap), n - i);
}

template <class L>
void exponentiate(const float* x, int n, float* y) {
    for (int i = 0; i < n; i += 16) store_part<L>(y + i, exp<L>(load_part<L>(x + i, n - i)), n - i);
}

template <class L>
void scale(float factor, int n, float* x) {
    for (int i = 0; i < n; i += 16)
        store_part<L>(x + i, L::mul(load_part<L>(x + i, n - i), L::set1(factor)), n - i);
}

template <class L>
void add_scaled(const float* x, float factor, int n, float* y) {
    for (int i = 0; i < n; i += 16) {
        const auto sum = L::fma(load_part<L>(x + i, n - i), L::set1(factor), load_part<L>(y + i, n - i));
        store_part<L>(y + i, sum, n - i);
    }
}

template <class L>
float log_sum_exp(const float* x, int n) {
    float peak = x[0];
    for (int i = 1; i < n; ++i) peak = x[i] > peak ? x[i] : peak;
    auto total = L::zero();
    for (int i = 0; i < n; i += 16) {
        const auto e = exp<L>(L::sub(load_part<L>(x + i, n - i), L::set1(peak)));
        total = L::add(total, L::keep_first(e, n - i, 0.0f));
    }
    return peak + __builtin_logf(L::reduce_add(total));
}

template <class L>
void add(const float* x, int n, float* y) {
    for (int i = 0; i < n; i += 16)
        store_part<L>(y + i, L::add(load_part<L>(y + i, n - i), load_part<L>(x + i, n - i)), n - i);
}

template <class L>
void add_product(const float* a, const float* b, int n, float* y) {
    for (int i = 0; i < n; i += 16) {
        const auto sum =
            L::fma(load_part<L>(a + i, n - i), load_part<L>(b + i, n - i), load_part<L>(y + i, n - i));
        store_part<L>(y + i, sum, n - i);
    }
}

template <class L>
float dot(const float* a, const float* b, int n) {
    auto sums = L::zero();
    for (int i = 0; i < n; i += 16)
        sums = L::fma(load_part<L>(a + i, n - i), load_part<L>(b + i, n - i), sums);
    return L::reduce_add(sums);
}

// Quantizes a block of 32 columns and replaces low and high by the residual. A block with NaN or infinity
// gets the scale NaN, which propagates to every product with it.
template <class L>
inline void quantize_block(typename L::F& low, typename L::F& high, QuantBlock* out) {
    const float peak = L::largest_magnitude(L::larger_magnitudes(low, high));
    if (!(peak <= 3.4028234e38f)) {
        *out = {{}, __builtin_nanf(""), __builtin_nanf(""), {}, 0};
        return;
    }
    // If 127 / peak would overflow, treat the peak as zero.
    const float inverse = peak > 1e-36f ? 127.0f / peak : 0.0f;
    const auto q_low = L::round_to_int(L::mul(low, L::set1(inverse)));
    const auto q_high = L::round_to_int(L::mul(high, L::set1(inverse)));
    L::store_int8(out->q, q_low);
    L::store_int8(out->q + 16, q_high);
    out->scale = peak / 127.0f;
    const int32_t half_sums[2] = {L::reduce_add(q_low), L::reduce_add(q_high)};
    out->scaled_sum = out->scale * static_cast<float>(half_sums[0] + half_sums[1]);
    out->residual_mask = 0;
    for (int h = 0; h < 2; ++h) out->half_sums[h] = static_cast<int16_t>(half_sums[h]);
    const auto negative_scale = L::set1(-out->scale);
    low = L::fma(L::to_float(q_low), negative_scale, low);
    high = L::fma(L::to_float(q_high), negative_scale, high);
}

template <class L>
void quantize(const float* x, int n, QuantBlock* out) {
    for (int block = 0; block < n / kBlockCols; ++block, x += kBlockCols) {
        auto low = L::load(x);
        auto high = L::load(x + 16);
        quantize_block<L>(low, high, out + block);
    }
}

// The quantization error of a row grows with the squares of its blocks' scales, and in trained models a few
// outlier blocks, mostly the same ones, cause nearly all of it (Dettmers et al., "LLM.int8()", 2022, section
// 4). Blocks whose squared scale is at least this multiple of the row's mean get a residual.
inline constexpr float kResidualThreshold = 4.0f;

template <class L>
void quantize_with_residual(const float* x, int n, QuantBlock* out) {
    const int n_blocks = n / kBlockCols;
    float squares = 0.0f;
    for (int b = 0; b < n_blocks; ++b) {
        auto low = L::load(x + b * kBlockCols);
        auto high = L::load(x + b * kBlockCols + 16);
        quantize_block<L>(low, high, out + 2 * b);
        squares += out[2 * b].scale * out[2 * b].scale;
    }
    const float threshold = kResidualThreshold * squares / static_cast<float>(n_blocks);
    for (int b = 0; b < n_blocks; ++b) {
        QuantBlock* block = out + 2 * b;
        block[1] = {};
        if (!(block->scale * block->scale >= threshold)) continue;
        auto low = L::load(x + b * kBlockCols);
        auto high = L::load(x + b * kBlockCols + 16);
        quantize_block<L>(low, high, block);  // again, to get the residual
        quantize_block<L>(low, high, block + 1);
        out[2 * (b - b % kRunBlocks)].residual_mask |= 1 << b % kRunBlocks;
    }
}

}  // namespace zp::shared
