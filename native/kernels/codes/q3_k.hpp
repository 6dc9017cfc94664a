// Q3_K packed: 16 half super-scales; per sub-block (8 of them) 24 bytes with two 6-bit scales per row
// (bit_packing.hpp); per sub-block 128 bytes of 2-bit fields and 64 bytes of third bits. Python:
// formats/q3_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ3_K, L> {
    static constexpr int kSubBlocks = 8, kParts = 2, kMaxCode = 7, kZeroPoint = 4;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    struct Head {
        typename L::F scale;
        typename L::I scales;
        // At most 2 * 32 * 4 * 127 * 16, and the dot product of each part fits 16 bits.
        typename L::F weighted_dot(typename L::I a, typename L::I b) const {
            return L::to_float(L::weighted_sum(a, b, scales));
        }
        static typename L::F add_minimum(typename L::F sum, const QuantBlock&) { return sum; }
    };
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 24, kCodeBytes = 192;
    const uint8_t* super_scales_at;
    const uint8_t* codes_at;
    typename L::Rows scales_[2];
    Codec(const uint8_t* packed, int s)
        : super_scales_at(packed), codes_at(packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s) {
        L::split_six_bits(packed + kHeadBytes + kScaleBytes * s, scales_[0], scales_[1]);
        for (auto& scale : scales_) scale = L::subtract_32(scale);
    }
    template <int i>
    typename L::Bytes codes() const {
        return with_high_bits<L, i, 2>(two_bits<L, i, 0>(codes_at), codes_at + 128);
    }
    typename L::F super_scale() const { return load_halves<L>(super_scales_at); }
    Head head() const { return {super_scale(), L::pairs(scales_[0], scales_[1])}; }
    template <int part>
    typename L::F scale() const {
        return L::mul(super_scale(), L::to_float(L::widen(scales_[part])));
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        const auto scale = [&](size_t k) {
            const unsigned low = file[96 + k % 8] >> (k < 8 ? 0 : 4) & 15;
            return low | (file[104 + k % 4] >> (2 * (k / 4)) & 3) << 4;
        };
        put_half(file + 108, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            put_six_bits(scale(2 * s), scale(2 * s + 1), row, packed + kHeadBytes + kScaleBytes * s);
            uint8_t* block = packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s;
            put_two_bits(columns_of<2>(file + 32 + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row, block);
            put_single_bits(columns_of<1>(file, static_cast<int>(s)), row, block + 128);
        }
    }
};

}  // namespace zp::shared
