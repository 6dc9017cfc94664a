// Q5_0 packed: 256 bytes of nibbles, 64 bytes of fifth bits, 16 half scales. Python: formats/q5_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ5_0, L> : ScaleOnly<L> {
    static constexpr int kMaxCode = 31, kZeroPoint = 16;
    Codec(const uint8_t* packed, int) : ScaleOnly<L>{packed, packed + 320} {}
    template <int i>
    typename L::Bytes codes() const {
        return with_high_bits<L, i, 4>(nibbles<L, i>(this->codes_at), this->codes_at + 256);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        uint32_t fifths;
        std::memcpy(&fifths, file + 2, 4);
        put_nibbles(columns_of_nibbles(file + 6), row, packed);
        put_single_bits(columns_of_bits(fifths), row, packed + 256);
        put_half(file, row, packed + 320);
    }
};

}  // namespace zp::shared
