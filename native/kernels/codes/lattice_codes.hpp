// The parts that the formats with lattices share: an index of a row selects the levels of eight or four
// columns, and a bit of each column its sign.
//
// Indices are bytes of 16 rows; some formats have more bits of them elsewhere. Signs are a word per row,
// whose bit 8 * j + k belongs to column 4 * i + j, with k = 0 to 3 for the even i and 4 to 7 for the odd
// ones, so that a group of eight columns has one bit in either nibble of each byte.
#pragma once

#include "formats/lattice.hpp"
#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

// A point of a lattice as a word: byte j holds the level of column j and, from bit 2, that of column 4 + j.
template <int n_points>
struct LatticeWords {
    uint32_t at[n_points] = {};
    explicit constexpr LatticeWords(const Lattice& lattice) {
        lattice.for_each_point([&](int point, int rank) {
            for (int column = 0; column < lattice.n_columns; ++column)
                at[point] |= static_cast<uint32_t>(lattice.level(rank, column))
                             << (8 * (column % 4) + 2 * (column / 4));
        });
    }
};

// The 8-bit indices of 16 rows with `n_bits` more from bit `shift` of `upper`.
template <class L, int shift, int n_bits>
inline typename L::I wide_indices(const uint8_t* low, typename L::I upper) {
    return L::either(L::load_unsigned(low), L::template bits<shift, 8, (1u << n_bits) - 1>(upper));
}

// Bit of the sign of vector i within each byte of a word of signs.
inline constexpr int sign_bit(int i) { return i / 2 + 4 * (i % 2); }

// Replaces the upper nibble of the last byte of words of signs by the signs of columns 7, 15, 23 and 31, for
// formats in which the number of negative weights among eight is even.
template <class L>
inline typename L::I with_last_signs(typename L::I words) {
    const auto known = L::template bits<0, 0, 0x0fffffffu>(words);
    const auto two = L::exclusive(known, L::template bits<16, 0, 0xffffu>(known));
    const auto one = L::exclusive(two, L::template bits<8, 0, 0xffu>(two));
    const auto parity = L::exclusive(L::template bits<0, 28, 15>(one), L::template bits<4, 28, 15>(one));
    return L::either(known, parity);
}

// Packs the signs of 32 columns, a bit each in order.
inline uint32_t sign_word(uint32_t signs) {
    uint32_t word = 0;
    for (int column = 0; column < 32; ++column)
        word |= (signs >> column & 1u) << (8 * (column % 4) + sign_bit(column / 4));
    return word;
}

inline uint32_t word_at(const uint8_t* file) {
    uint32_t word;
    std::memcpy(&word, file, 4);
    return word;
}

// Packs four groups of seven signs, without the upper nibble of the last byte.
inline uint32_t word_of_seven_signs(const unsigned (&groups)[4]) {
    uint32_t signs = 0;
    for (int g = 0; g < 4; ++g) signs |= (groups[g] & 127u) << (8 * g);
    return sign_word(signs) & 0x0fffffffu;
}

// The same from IQ2_XXS and IQ3_XXS, whose word has the four groups in order and then a 4-bit scale, which
// keeps its place.
inline uint32_t signs_and_scale(uint32_t word) {
    return word_of_seven_signs({word, word >> 7, word >> 14, word >> 21}) | (word & 0xf0000000u);
}

// d * (scale + 1/2) * 2 * unit for the scales of such words.
template <class L>
inline typename L::F scale_of(const uint8_t* super_scales, typename L::I words, float unit) {
    const auto scale = L::to_float(L::template bits<28, 1, 15>(words));
    return L::mul(L::mul(load_halves<L>(super_scales), L::set1(unit)), L::add(scale, L::set1(1.0f)));
}

// Codec base of the lattices in which a point is eight columns: three levels, each with two signs.
template <class L>
struct EightColumns {
    static constexpr int kSubBlocks = 8, kMaxCode = 86, kZeroPoint = 43;
    static constexpr bool kIsSlow = true;
    // 43 plus a level (8, 25 or 43), and minus it.
    alignas(16) static constexpr uint8_t kLevels[16] = {51, 68, 86, 0, 35, 18, 0, 0};
    typename L::Bytes points_[4];
    typename L::Bytes signs_;
    template <int i>
    typename L::Bytes codes() const {
        const auto levels = L::template field<2 * (i % 2), 0, 3>(points_[i / 2]);
        return L::look_up(kLevels, L::template merge<sign_bit(i), 2, 4>(levels, signs_));
    }
};

// Codec base of the lattices whose points are eight columns of -1, 0 or 1, to which an eighth is added or,
// where a bit is set, from which it is subtracted.
template <class L>
struct EightTernaryColumns {
    static constexpr int kSubBlocks = 8, kMaxCode = 18, kZeroPoint = 9;
    static constexpr bool kIsSlow = true;
    // 9 plus eight times the sum, and the difference.
    alignas(16) static constexpr uint8_t kLevels[16] = {2, 10, 18, 0, 0, 8, 16, 0};
    typename L::Bytes points_[4];
    typename L::Bytes shifts_[4];  // bit 2 of each byte of a row
    template <int i>
    typename L::Bytes codes() const {
        const auto levels = L::template field<2 * (i % 2), 0, 3>(points_[i / 2]);
        return L::look_up(kLevels, L::template merge<2, 2, 4>(levels, shifts_[i / 2]));
    }
    // Copies bit `from` of each word to bit 2 of its bytes.
    template <int from>
    static typename L::Bytes shift(typename L::I words) {
        const auto even =
            L::either(L::template bits<from, 2, 1>(words), L::template bits<from, 18, 1>(words));
        return L::as_bytes(L::either(even, L::template bits<0, 8, 0x00ffffffu>(even)));
    }
    // 16 words of two bytes each.
    static typename L::I load_pairs_of_bytes(const uint8_t* p) {
        return L::either(L::load_unsigned(p), L::template bits<0, 8, 255>(L::load_unsigned(p + 16)));
    }
};

// Codec base of the lattices in which a point is four columns: eight levels, each with two signs.
template <class L>
struct FourColumns {
    static constexpr int kSubBlocks = 8;
    static constexpr bool kIsSlow = true;
    typename L::Bytes points_[8];
    typename L::Bytes signs_;
    template <int i>
    typename L::Bytes codes(const uint8_t* levels) const {
        return L::look_up(levels, L::template merge<sign_bit(i), 3, 8>(points_[i], signs_));
    }
};

// The head of a sub-block with two 4-bit scales per row, a byte: d * (scale + 1/2) / 4.
template <class L>
struct NibbleScales {
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    using Head = TwoPartHead<L>;
    const uint8_t* super_scales_at;
    const uint8_t* scales_at;
    Head head() const { return {unit(), odd<0>(), odd<1>()}; }
    typename L::F unit() const { return L::mul(load_halves<L>(super_scales_at), L::set1(0.125f)); }
    template <int part>
    typename L::F odd() const {
        const auto rows = L::load_rows(scales_at);
        const auto scale = L::to_float(L::widen(part == 0 ? L::low_nibbles(rows) : L::high_nibbles(rows)));
        return L::add(L::add(scale, scale), L::set1(1.0f));
    }
    template <int part>
    typename L::F scale() const {
        return L::mul(unit(), odd<part>());
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
};

}  // namespace zp::shared
