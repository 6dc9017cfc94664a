// Q5_1 packed: 256 bytes of nibbles, 64 bytes of fifth bits, 16 half scales, 16 half minimums.
// Python: formats/q5_1.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ5_1, L> : ScaleAndMinimum<L> {
    static constexpr int kMaxCode = 31;
    Codec(const uint8_t* packed, int) : ScaleAndMinimum<L>{{packed, packed + 320}} {}
    template <int i>
    typename L::Bytes codes() const {
        return with_high_bits<L, i, 4>(nibbles<L, i>(this->codes_at), this->codes_at + 256);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        uint32_t fifths;
        std::memcpy(&fifths, file + 4, 4);
        put_nibbles(columns_of_nibbles(file + 8), row, packed);
        put_single_bits(columns_of_bits(fifths), row, packed + 256);
        put_half(file, row, packed + 320);
        put_half(file + 2, row, packed + 352);
    }
};

}  // namespace zp::shared
