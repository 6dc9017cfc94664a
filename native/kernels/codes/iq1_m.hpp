// IQ1_M packed: 16 half super-scales; per pair of sub-blocks (4 of them) 24 bytes with twice two 3-bit scales
// (bit_packing.hpp); per sub-block 4 * 16 indices of eight columns, and 16 numbers of 16 bits, the low bytes
// first: for each index three more bits and the bit of EightTernaryColumns. Python:
// formats/_read_only/iq1_m.py.
#pragma once

#include "kernels/codes/iq1_s.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kIQ1_M, L> : EightTernaryColumns<L> {
    static constexpr int kParts = 2;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 24, kSubBlockBytes = 96;
    using Head = TwoPartHead<L>;
    const uint8_t* super_scales_at;
    typename L::I scales_;
    Codec(const uint8_t* packed, int s) : super_scales_at(packed) {
        typename L::Rows even, odd;
        L::split_six_bits(packed + kHeadBytes + kScaleBytes * (s / 2), even, odd);
        scales_ = L::widen(s % 2 == 0 ? even : odd);
        const uint8_t* at = packed + kHeadBytes + 4 * kScaleBytes + kSubBlockBytes * s;
        const auto words = this->load_pairs_of_bytes(at + 64);
        look_up_points<0>(at, words);
    }
    template <int g>
    void look_up_points(const uint8_t* at, typename L::I words) {
        if constexpr (g < 4) {
            this->points_[g] = L::gather(kIQ1Words.at, wide_indices<L, 4 * g, 3>(at + 16 * g, words));
            this->shifts_[g] = this->template shift<4 * g + 3>(words);
            look_up_points<g + 1>(at, words);
        }
    }
    Head head() const { return {unit(), odd<0>(), odd<1>()}; }
    typename L::F unit() const { return L::mul(load_halves<L>(super_scales_at), L::set1(0.125f)); }
    template <int part>
    typename L::F odd() const {
        return L::add(L::to_float(L::template bits<3 * part, 1, 7>(scales_)), L::set1(1.0f));
    }
    template <int part>
    typename L::F scale() const {
        return L::mul(unit(), odd<part>());
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        const auto quarter = [&](size_t k) {  // four 3-bit scales, and four bits of the super-scale
            return static_cast<unsigned>(file[48 + 2 * k] | file[49 + 2 * k] << 8);
        };
        unsigned half = 0;
        for (size_t k = 0; k < 4; ++k) {
            half |= quarter(k) >> 12 << (4 * k);
            put_six_bits(quarter(k) & 63, quarter(k) >> 6 & 63, row, packed + kHeadBytes + kScaleBytes * k);
        }
        const uint8_t bytes[2] = {static_cast<uint8_t>(half & 255), static_cast<uint8_t>(half >> 8)};
        put_half(bytes, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + 4 * kScaleBytes + kSubBlockBytes * s;
            for (size_t g = 0; g < 4; ++g) at[16 * g + row] = file[4 * s + g];
            for (size_t i = 0; i < 2; ++i) at[64 + 16 * i + row] = file[32 + 2 * s + i];
        }
    }
};

}  // namespace zp::shared
