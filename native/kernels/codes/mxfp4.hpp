// MXFP4 packed: 256 bytes of nibbles, which index the levels, and 16 exponents of scales. Python:
// formats/mxfp4.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

// Twice the numbers of E2M1 (OCP Microscaling Formats 1.0) + 12.
alignas(16) inline constexpr uint8_t kE2M1Levels[16] = {12, 13, 14, 15, 16, 18, 20, 24,
                                                        12, 11, 10, 9,  8,  6,  4,  0};

template <class L>
struct Codec<Format::kMXFP4, L> : OneScale<L> {
    static constexpr int kSubBlocks = 1, kMaxCode = 24, kZeroPoint = 12;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int)
        : OneScale<L>{L::powers_of_two(L::load_rows(packed + 256))}, codes_at(packed) {}
    template <int i>
    typename L::Bytes codes() const {
        return L::look_up(kE2M1Levels, nibbles<L, i>(codes_at));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_nibbles(columns_of_nibbles(file + 1), row, packed);
        packed[256 + row] = file[0];
    }
};

}  // namespace zp::shared
