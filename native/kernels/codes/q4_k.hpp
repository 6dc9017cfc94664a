// Q4_K packed: the head (SixBitScales), then per sub-block (8 of them) 256 bytes of nibbles.
// Python: formats/q4_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kQ4_K, L> : SixBitScales<L> {
    static constexpr int kMaxCode = 15;
    static constexpr size_t kBlockBytes = 256;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int s)
        : SixBitScales<L>(packed, s), codes_at(packed + SixBitScales<L>::kHeadBytes + kBlockBytes * s) {}
    template <int i>
    typename L::Bytes codes() const {
        return nibbles<L, i>(codes_at);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        put_half(file + 2, row, packed + 32);
        put_six_bit_scales(file + 4, row, packed + 64);
        for (size_t s = 0; s < 8; ++s) {
            const Columns c = columns_of<4>(file + 16 + 32 * (s / 2), s % 2 == 0 ? 0 : 4);
            put_nibbles(c, row, packed + SixBitScales<L>::kHeadBytes + kBlockBytes * s);
        }
    }
};

}  // namespace zp::shared
