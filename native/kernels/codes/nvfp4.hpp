// NVFP4 packed: per sub-block (2 of them) 2 * 16 scales; per sub-block 256 bytes of nibbles, which index the
// levels of MXFP4. Python: formats/nvfp4.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"
#include "kernels/codes/mxfp4.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kNVFP4, L> {
    static constexpr int kSubBlocks = 2, kParts = 2, kMaxCode = 24, kZeroPoint = 12;
    static constexpr DequantRule kRule = DequantRule::kZeroPoint;
    using Head = TwoPartHead<L>;
    static constexpr size_t kScaleBytes = 32, kCodeBytes = 256;
    static constexpr float kUnit = 128;  // a scale is half of an E4M3 number, and load_e4m3 divides by 2^8
    const uint8_t* scales_at;
    const uint8_t* codes_at;
    Codec(const uint8_t* packed, int s)
        : scales_at(packed + kScaleBytes * s), codes_at(packed + 2 * kScaleBytes + kCodeBytes * s) {}
    template <int i>
    typename L::Bytes codes() const {
        return L::look_up(kE2M1Levels, nibbles<L, i>(codes_at));
    }
    Head head() const { return {L::set1(kUnit), L::load_e4m3(scales_at), L::load_e4m3(scales_at + 16)}; }
    template <int part>
    typename L::F scale() const {
        return L::mul(L::load_e4m3(scales_at + 16 * part), L::set1(kUnit));
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        for (size_t k = 0; k < 4; ++k) packed[16 * k + row] = file[k] == 127 ? 0 : file[k] & 127;
        for (size_t s = 0; s < 2; ++s) {
            const uint8_t* at = file + 4 + 16 * s;
            uint8_t in_order[16];  // as in Q4_0: both groups' low nibbles are columns 0 to 15
            for (size_t j = 0; j < 8; ++j) {
                in_order[j] = static_cast<uint8_t>((at[j] & 15) | at[8 + j] << 4);
                in_order[8 + j] = static_cast<uint8_t>(at[j] >> 4 | (at[8 + j] & 0xf0));
            }
            put_nibbles(columns_of_nibbles(in_order), row, packed + 2 * kScaleBytes + kCodeBytes * s);
        }
    }
};

}  // namespace zp::shared
