// Q2_0 packed: 16 half scales; per sub-block (2 of them) 128 bytes of 2-bit codes. Python: formats/q2_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ2_0, L> : ScaleOnly<L> {
    static constexpr int kSubBlocks = 2, kMaxCode = 3, kZeroPoint = 1;
    Codec(const uint8_t* packed, int s) : ScaleOnly<L>{packed + 32 + 128 * s, packed} {}
    template <int i>
    typename L::Bytes codes() const {
        return two_bits<L, i, 0>(this->codes_at);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 2; ++s) {
            Columns c;
            for (size_t i = 0; i < 8; ++i) {
                const uint32_t byte = file[2 + 8 * s + i];  // columns 4 * i to 4 * i + 3
                c.at[i] = (byte | byte << 6 | byte << 12 | byte << 18) & 0x03030303u;
            }
            put_two_bits(c, row, packed + 32 + 128 * s);
        }
    }
};

}  // namespace zp::shared
