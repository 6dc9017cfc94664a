// Q2_K packed: 16 half super-scales and 16 half super-minimums; per sub-block (8 of them) 2 * 16 bytes with a
// scale in the low nibble and a minimum in the high nibble; per sub-block 128 bytes of 2-bit codes. Python:
// formats/q2_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ2_K, L> {
    static constexpr int kSubBlocks = 8, kParts = 2, kMaxCode = 3, kZeroPoint = 0;
    static constexpr DequantRule kRule = DequantRule::kSubtractMinimum;
    struct Head {
        typename L::F scale, super_minimum;
        typename L::I scales, minimums;
        // At most 2 * 15 * 3 * 127 * 16, and the dot product of each part fits 16 bits.
        typename L::F weighted_dot(typename L::I a, typename L::I b) const {
            return L::to_float(L::weighted_sum(a, b, scales));
        }
        typename L::F add_minimum(typename L::F sum, const QuantBlock& x) const {
            const auto minimum_dot = L::to_float(L::dot_pairs(minimums, x.half_sums));
            return L::fnma(minimum_dot, L::mul(super_minimum, L::set1(x.scale)), sum);
        }
    };
    static constexpr size_t kHeadBytes = 64, kScaleBytes = 32, kCodeBytes = 128;
    const uint8_t* super_scales_at;
    const uint8_t* scales_at;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int s)
        : super_scales_at(packed),
          scales_at(packed + kHeadBytes + kScaleBytes * s),
          codes_at(packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s) {}
    template <int i>
    typename L::Bytes codes() const {
        return two_bits<L, i, 0>(codes_at);
    }
    typename L::F super_scale() const { return load_halves<L>(super_scales_at); }
    typename L::F super_minimum() const { return load_halves<L>(super_scales_at + 32); }
    Head head() const {
        const auto first = L::load_rows(scales_at), second = L::load_rows(scales_at + 16);
        return {super_scale(), super_minimum(), L::pairs(L::low_nibbles(first), L::low_nibbles(second)),
                L::pairs(L::high_nibbles(first), L::high_nibbles(second))};
    }
    template <int part>
    typename L::F scale() const {
        return L::mul(super_scale(),
                      L::to_float(L::widen(L::low_nibbles(L::load_rows(scales_at + 16 * part)))));
    }
    template <int part>
    typename L::F minimum() const {
        return L::mul(super_minimum(),
                      L::to_float(L::widen(L::high_nibbles(L::load_rows(scales_at + 16 * part)))));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file + 80, row, packed);
        put_half(file + 82, row, packed + 32);
        for (size_t k = 0; k < 16; ++k) packed[kHeadBytes + 16 * k + row] = file[k];
        for (size_t s = 0; s < 8; ++s)
            put_two_bits(columns_of<2>(file + 16 + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row,
                         packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s);
    }
};

}  // namespace zp::shared
