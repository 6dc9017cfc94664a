// Codecs of the quantized formats: they decode 32 columns of a packed block, over the lanes of an instruction
// set.
//
// Each format's file specializes Codec:
//   kSubBlocks            sub-blocks of 32 columns per packed block
//   kParts                scales per sub-block: 1, or 2 (one per 16 columns)
//   kMaxCode, kZeroPoint  codes range from 0 to kMaxCode and represent code - kZeroPoint
//   kRule                 how to dequantize a code: see DequantRule
//   Codec(packed, s)      sub-block s of a packed block
//   codes<i>()            the codes of columns 4 * i to 4 * i + 3
//   Head, head()          the sub-block's decoded scales, which turn integer dot products into float sums:
//     scale                  factor of weighted_dot()
//     weighted_dot(a, b)     combines the dot products of both parts exactly; a == b if kParts is 1
//     add_minimum(sum, x)    adds the minimums' contribution to the product with x
//     save(p), load(p)       store a head in kSavedFloats floats and restore it; optional
//   kIsSlow               present if decoding takes longer than multiplying; optional
//   scale<part>(), minimum<part>()   for dequantizing to float
//   pack(file_block, row, packed)    copies one row's block of the file into a packed block
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp::shared {

enum class DequantRule {
    kZeroPoint,        // scale * (code - kZeroPoint)
    kAddMinimum,       // scale * code + minimum
    kSubtractMinimum,  // scale * code - minimum
};

template <Format, class L>
struct Codec;

template <Format format>
inline constexpr int kPackedBytes = static_cast<int>(info(format).block_bytes) * kGroupRows;

template <class L>
inline typename L::F load_halves(const uint8_t* p) {
    return L::load_half(reinterpret_cast<const uint16_t*>(p));
}

// Dequantizes a code, with the operations of the Python formats in the same order.
template <class L, DequantRule rule, int kZeroPoint>
inline typename L::F weight_of(typename L::F code, typename L::F scale, typename L::F minimum) {
    if constexpr (rule == DequantRule::kZeroPoint)
        return L::mul(L::sub(code, L::set1(static_cast<float>(kZeroPoint))), scale);
    const auto product = L::mul(code, scale);
    return rule == DequantRule::kAddMinimum ? L::add(product, minimum) : L::sub(product, minimum);
}

// 4-bit codes, 256 bytes for 32 columns.
template <class L, int i>
inline typename L::Bytes nibbles(const uint8_t* p) {
    if constexpr (i < 4) return L::template field<0, 0, 15>(L::load_bytes(p + 64 * i));
    return L::template field<4, 0, 15>(L::load_bytes(p + 64 * (i - 4)));
}

// 2-bit fields, 128 bytes for 32 columns, shifted to bit `to`.
template <class L, int i, int to>
inline typename L::Bytes two_bits(const uint8_t* p) {
    return L::template field<2 * (i % 4), to, 3 << to>(L::load_bytes(p + 64 * (i / 4)));
}

// Adds a high bit to codes: 1-bit fields, 64 bytes for 32 columns, inserted at bit `to` above `low`.
template <class L, int i, int to>
inline typename L::Bytes with_high_bits(typename L::Bytes low, const uint8_t* p) {
    return L::template merge<i, to, 1 << to>(low, L::load_bytes(p));
}

// The head of a sub-block with one scale.
template <class L, DequantRule rule>
struct OnePartHead {
    static constexpr int kSavedFloats = 32;
    typename L::F scale, minimum;
    static typename L::F weighted_dot(typename L::I a, typename L::I) { return L::to_float(a); }
    typename L::F add_minimum(typename L::F sum, const QuantBlock& x) const {
        if constexpr (rule == DequantRule::kAddMinimum) return L::fma(minimum, L::set1(x.scaled_sum), sum);
        if constexpr (rule == DequantRule::kSubtractMinimum)
            return L::fnma(minimum, L::set1(x.scaled_sum), sum);
        return sum;
    }
    void save(float* p) const {
        L::store(p, scale);
        L::store(p + 16, minimum);
    }
    static OnePartHead load(const float* p) { return {L::load(p), L::load(p + 16)}; }
};

// The head of a sub-block with two scales and no minimum. The products of scales with dot products are exact
// if the scales are integers of up to 8 bits: at most 2 * 128 * 32 * 127 * 16 in Q6_K, below 2^24.
template <class L>
struct TwoPartHead {
    static constexpr int kSavedFloats = 48;
    typename L::F scale, first, second;
    typename L::F weighted_dot(typename L::I a, typename L::I b) const {
        return L::fma(first, L::to_float(a), L::mul(second, L::to_float(b)));
    }
    static typename L::F add_minimum(typename L::F sum, const QuantBlock&) { return sum; }
    void save(float* p) const {
        L::store(p, scale);
        L::store(p + 16, first);
        L::store(p + 32, second);
    }
    static TwoPartHead load(const float* p) { return {L::load(p), L::load(p + 16), L::load(p + 32)}; }
};

// Codec base of formats with one scale per 32 columns, decoded in the constructor, and no minimum.
template <class L>
struct OneScale {
    static constexpr int kParts = 1;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    using Head = OnePartHead<L, DequantRule::kZeroPoint>;
    typename L::F scale_;
    Head head() const { return {scale_, L::zero()}; }
    template <int>
    typename L::F scale() const {
        return scale_;
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
};

// Codec base of formats with one half scale per 32 columns and no minimum.
template <class L>
struct ScaleOnly {
    static constexpr int kSubBlocks = 1, kParts = 1;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    using Head = OnePartHead<L, DequantRule::kZeroPoint>;
    const uint8_t* codes_at;
    const uint8_t* scales_at;
    Head head() const { return {scale<0>(), L::zero()}; }
    template <int>
    typename L::F scale() const {
        return load_halves<L>(scales_at);
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
};

// Codec base of formats with a scale and a minimum per 32 columns.
template <class L>
struct ScaleAndMinimum : ScaleOnly<L> {
    static constexpr int kZeroPoint = 0;
    static constexpr DequantRule kRule = DequantRule::kAddMinimum;
    using Head = OnePartHead<L, DequantRule::kAddMinimum>;
    Head head() const { return {this->template scale<0>(), minimum<0>()}; }
    template <int>
    typename L::F minimum() const {
        return load_halves<L>(this->scales_at + 32);
    }
};

// Codec base of Q4_K and Q5_K. Their head in a packed block: 16 half super-scales, 16 half super-minimums,
// and per sub-block 24 bytes with the 6-bit scales and minimums of 16 rows.
template <class L>
struct SixBitScales {
    static constexpr int kSubBlocks = 8, kParts = 1, kZeroPoint = 0;
    static constexpr int kHeadBytes = 64 + 8 * 24;
    static constexpr DequantRule kRule = DequantRule::kSubtractMinimum;
    using Head = OnePartHead<L, DequantRule::kSubtractMinimum>;
    typename L::F scale_, minimum_;
    SixBitScales(const uint8_t* packed, int s) {
        typename L::Rows scales, minimums;
        L::split_six_bits(packed + 64 + 24 * s, scales, minimums);
        scale_ = L::mul(load_halves<L>(packed), L::to_float(L::widen(scales)));
        minimum_ = L::mul(load_halves<L>(packed + 32), L::to_float(L::widen(minimums)));
    }
    Head head() const { return {scale_, minimum_}; }
    template <int>
    typename L::F scale() const {
        return scale_;
    }
    template <int>
    typename L::F minimum() const {
        return minimum_;
    }
};

}  // namespace zp::shared
