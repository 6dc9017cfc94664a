// IQ4_XS packed: 16 half super-scales; per pair of sub-blocks (4 of them) 24 bytes with the 6-bit scales of
// both (bit_packing.hpp); per sub-block 256 bytes of nibbles, which index the levels of IQ4_NL. Python:
// formats/iq4_xs.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"
#include "kernels/codes/iq4_nl.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kIQ4_XS, L> : OneScale<L> {
    static constexpr int kSubBlocks = 8, kMaxCode = 255, kZeroPoint = 128;
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 24, kCodeBytes = 256;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int s)
        : OneScale<L>{scale_of(packed, s)},
          codes_at(packed + kHeadBytes + 4 * kScaleBytes + kCodeBytes * s) {}
    static typename L::F scale_of(const uint8_t* packed, int s) {
        typename L::Rows even, odd;
        L::split_six_bits(packed + kHeadBytes + kScaleBytes * (s / 2), even, odd);
        const auto scales = L::subtract_32(s % 2 == 0 ? even : odd);
        return L::mul(load_halves<L>(packed), L::to_float(L::widen(scales)));
    }
    template <int i>
    typename L::Bytes codes() const {
        return L::look_up(kIQ4NLLevels, nibbles<L, i>(codes_at));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        const auto scale = [&](size_t s) {
            const unsigned low = file[4 + s / 2] >> (4 * (s % 2)) & 15,
                           high = file[2 + s / 4] >> (2 * (s % 4)) & 3;
            return low | high << 4;
        };
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; s += 2)
            put_six_bits(scale(s), scale(s + 1), row, packed + kHeadBytes + kScaleBytes * (s / 2));
        for (size_t s = 0; s < 8; ++s)
            put_nibbles(columns_of_nibbles(file + 8 + 16 * s), row,
                        packed + kHeadBytes + 4 * kScaleBytes + kCodeBytes * s);
    }
};

}  // namespace zp::shared
