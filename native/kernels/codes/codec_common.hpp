// What the formats' packed blocks are made of: codes of 32 columns, read over lanes, and scales.
//
// Each format's file specialises Codes for itself:
//   kSpan            blocks of 32 columns that a packed block holds
//   kParts           scales for them: one, or one for either 16 columns
//   kTop, kZero      codes are 0 to kTop and stand for code - kZero
//   kRule            how a weight comes from a code: see Rule
//   Codes(packed, s) block s of the packed block
//   codes<i>()       the codes of columns 4 * i to 4 * i + 3
//   Head, head()     what makes a part of the sum out of dot products of the codes:
//     unit             what exact() is still to be multiplied with
//     exact(a, b)      dot products of the parts, exactly weighed; a twice if there is but one part
//     add_minimum(sum, x)   sum with the minimums' share of the product with x
//     save(p), load(p) into kSaved floats and out again; a head without them is made anew for every tile
//   scale<part>(), minimum<part>()   for a weight as a float
//   pack(file_block, row, packed)    puts one row's block of the file in its place
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp::shared {

enum class Rule {
    kZero,   // scale * (code - kZero)
    kPlus,   // scale * code + minimum
    kMinus,  // scale * code - minimum
};

template <Format, class L>
struct Codes;

template <Format format>
inline constexpr int kPackedBytes = static_cast<int>(info(format).block_bytes) * kGroupRows;

template <class L>
inline typename L::F load_halves(const uint8_t* p) {
    return L::load_half(reinterpret_cast<const uint16_t*>(p));
}

// A weight of one rounding rule, in the operations and the order of the Python formats.
template <class L, Rule rule, int kZero>
inline typename L::F weight_of(typename L::F code, typename L::F scale, typename L::F minimum) {
    if constexpr (rule == Rule::kZero) return L::mul(L::sub(code, L::set1(static_cast<float>(kZero))), scale);
    const auto product = L::mul(code, scale);
    return rule == Rule::kPlus ? L::add(product, minimum) : L::sub(product, minimum);
}

// Four bits a column in 256 bytes.
template <class L, int i>
inline typename L::Bytes nibbles(const uint8_t* p) {
    if constexpr (i < 4) return L::template field<0, 0, 15>(L::load_bytes(p + 64 * i));
    return L::template field<4, 0, 15>(L::load_bytes(p + 64 * (i - 4)));
}

// Two bits a column in 128 bytes, put at bit `to`.
template <class L, int i, int to>
inline typename L::Bytes twos(const uint8_t* p) {
    return L::template field<2 * (i % 4), to, 3 << to>(L::load_bytes(p + 64 * (i / 4)));
}

// One bit a column in 64 bytes, put at bit `to` beside the codes' lower bits.
template <class L, int i, int to>
inline typename L::Bytes with_ones(typename L::Bytes low, const uint8_t* p) {
    return L::template merge<i, to, 1 << to>(low, L::load_bytes(p));
}

// The head of a block of one part.
template <class L, Rule rule>
struct OnePartHead {
    static constexpr int kSaved = 32;
    typename L::F unit, minimum;
    static typename L::F exact(typename L::I a, typename L::I) { return L::to_float(a); }
    typename L::F add_minimum(typename L::F sum, const QuantBlock& x) const {
        if constexpr (rule == Rule::kPlus) return L::fma(minimum, L::set1(x.scaled_sum), sum);
        if constexpr (rule == Rule::kMinus) return L::fnma(minimum, L::set1(x.scaled_sum), sum);
        return sum;
    }
    void save(float* p) const {
        L::store(p, unit);
        L::store(p + 16, minimum);
    }
    static OnePartHead load(const float* p) { return {L::load(p), L::load(p + 16)}; }
};

// One scale for 32 columns and nothing else.
template <class L>
struct ScaleOnly {
    static constexpr int kSpan = 1, kParts = 1;
    static constexpr Rule kRule = Rule::kZero;
    using Head = OnePartHead<L, Rule::kZero>;
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

// A scale and, after it, a minimum for 32 columns.
template <class L>
struct ScaleAndMinimum : ScaleOnly<L> {
    static constexpr int kZero = 0;
    static constexpr Rule kRule = Rule::kPlus;
    using Head = OnePartHead<L, Rule::kPlus>;
    Head head() const { return {this->template scale<0>(), minimum<0>()}; }
    template <int>
    typename L::F minimum() const {
        return load_halves<L>(this->scales_at + 32);
    }
};

// The head of Q4_K and Q5_K: 16 half units of scales, 16 of minimums, and for each of eight blocks 24 bytes
// with the sixteen rows' scales and minimums of six bits.
template <class L>
struct SixBitScales {
    static constexpr int kSpan = 8, kParts = 1, kZero = 0;
    static constexpr int kHeadBytes = 64 + 8 * 24;
    static constexpr Rule kRule = Rule::kMinus;
    using Head = OnePartHead<L, Rule::kMinus>;
    typename L::F scale_, minimum_;
    SixBitScales(const uint8_t* packed, int s) {
        typename L::Rows scales, minimums;
        L::split_sixes(packed + 64 + 24 * s, scales, minimums);
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
