// TQ2_0 packed: 16 half scales; per sub-block (8 of them) 128 bytes of 2-bit codes. Python: formats/tq2_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kTQ2_0, L> : ScaleOnly<L> {
    static constexpr int kSubBlocks = 8, kMaxCode = 3, kZeroPoint = 1;
    Codec(const uint8_t* packed, int s) : ScaleOnly<L>{packed + 32 + 128 * s, packed} {}
    template <int i>
    typename L::Bytes codes() const {
        return two_bits<L, i, 0>(this->codes_at);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file + 64, row, packed);
        for (size_t s = 0; s < 8; ++s)
            put_two_bits(columns_of<2>(file + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row,
                         packed + 32 + 128 * s);
    }
};

}  // namespace zp::shared
