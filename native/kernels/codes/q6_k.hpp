// Q6_K packed: 16 half super-scales; per sub-block (8 of them) 2 * 16 signed scales; per sub-block 256 bytes
// of nibbles and 128 bytes of 2-bit fields. Python: formats/q6_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ6_K, L> {
    static constexpr int kSubBlocks = 8, kParts = 2, kMaxCode = 63, kZeroPoint = 32;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    using Head = TwoPartHead<L>;
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 32, kCodeBytes = 384;
    const uint8_t* super_scales_at;
    const uint8_t* scales_at;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int s)
        : super_scales_at(packed),
          scales_at(packed + kHeadBytes + kScaleBytes * s),
          codes_at(packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s) {}
    template <int i>
    typename L::Bytes codes() const {
        constexpr int kShift = 2 * (i % 4);
        return L::template merge<kShift, 4, 3 << 4>(nibbles<L, i>(codes_at),
                                                    L::load_bytes(codes_at + 256 + 64 * (i / 4)));
    }
    typename L::F super_scale() const { return load_halves<L>(super_scales_at); }
    Head head() const { return {super_scale(), int_scale<0>(), int_scale<1>()}; }
    template <int part>
    typename L::F int_scale() const {
        return L::to_float(L::widen(L::load_rows(scales_at + 16 * part)));
    }
    template <int part>
    typename L::F scale() const {
        return L::mul(super_scale(), int_scale<part>());
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file + 208, row, packed);
        for (size_t k = 0; k < 16; ++k) packed[kHeadBytes + 16 * k + row] = file[192 + k];
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* block = packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s;
            const uint8_t* low = file + 64 * (s / 4) + 32 * (s % 2);
            put_nibbles(columns_of<4>(low, s % 4 < 2 ? 0 : 4), row, block);
            put_two_bits(columns_of<2>(file + 128 + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row,
                         block + 256);
        }
    }
};

}  // namespace zp::shared
