// Q1_0 packed: 16 half scales; per sub-block (4 of them) 64 bytes of 1-bit codes. Python: formats/q1_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ1_0, L> : ScaleOnly<L> {
    static constexpr int kSubBlocks = 4, kMaxCode = 2, kZeroPoint = 1;
    Codec(const uint8_t* packed, int s) : ScaleOnly<L>{packed + 32 + 64 * s, packed} {}
    template <int i>
    typename L::Bytes codes() const {
        return L::template field<i, 1, 2>(L::load_bytes(this->codes_at));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 4; ++s) {
            uint32_t bits;
            std::memcpy(&bits, file + 2 + 4 * s, 4);
            put_single_bits(columns_of_bits(bits), row, packed + 32 + 64 * s);
        }
    }
};

}  // namespace zp::shared
