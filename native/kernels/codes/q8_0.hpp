// Q8_0 packed: 512 bytes (value + 128, because the integer products take unsigned weights), 16 half scales.
// Python: formats/q8_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ8_0, L> : ScaleOnly<L> {
    static constexpr int kMaxCode = 255, kZeroPoint = 128;
    Codec(const uint8_t* packed, int) : ScaleOnly<L>{packed, packed + 512} {}
    template <int i>
    typename L::Bytes codes() const {
        return L::load_bytes(this->codes_at + 64 * i);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        Columns c = columns_of<8>(file + 2, 0);
        for (uint32_t& word : c.at) word ^= 0x80808080u;
        put_bytes(c, row, packed);
        put_half(file, row, packed + 512);
    }
};

}  // namespace zp::shared
