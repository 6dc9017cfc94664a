// Q4_1 packed: 256 bytes of nibbles, 16 half scales, 16 half minimums. Python: formats/q4_1.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ4_1, L> : ScaleAndMinimum<L> {
    static constexpr int kMaxCode = 15;
    Codec(const uint8_t* packed, int) : ScaleAndMinimum<L>{{packed, packed + 256}} {}
    template <int i>
    typename L::Bytes codes() const {
        return nibbles<L, i>(this->codes_at);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_nibbles(columns_of_nibbles(file + 4), row, packed);
        put_half(file, row, packed + 256);
        put_half(file + 2, row, packed + 288);
    }
};

}  // namespace zp::shared
