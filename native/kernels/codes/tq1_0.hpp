// TQ1_0 packed: 16 half scales, then 13 vectors of bytes with five digits each. Vector v of columns (columns
// 4 * v to 4 * v + 3 of the block) is digit v % 5 of byte vector v / 5; the last digit is unused. Python:
// formats/tq1_0.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codec<Format::kTQ1_0, L> : ScaleOnly<L> {
    static constexpr int kSubBlocks = 8, kMaxCode = 2, kZeroPoint = 1, kDigits = 5;
    int first_;  // vector of columns
    Codec(const uint8_t* packed, int s) : ScaleOnly<L>{packed + 32, packed}, first_(8 * s) {}
    template <int i>
    typename L::Bytes codes() const {
        constexpr uint8_t kPowers[kDigits] = {1, 3, 9, 27, 81};
        const int v = first_ + i;
        return L::ternary_digits(L::load_bytes(this->codes_at + 64 * (v / kDigits)), kPowers[v % kDigits]);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file + 52, row, packed);
        uint8_t codes[kDigits * 52];  // of a block's columns, with four digits of padding
        size_t n = 0;
        const auto unpack = [&](size_t begin, size_t end, int n_digits) {
            for (int digit = 0, power = 1; digit < n_digits; ++digit, power *= 3)
                for (size_t b = begin; b < end; ++b)
                    codes[n++] = static_cast<uint8_t>(static_cast<uint8_t>(file[b] * power) * 3 >> 8);
        };
        unpack(0, 32, 5);
        unpack(32, 48, 5);
        unpack(48, 52, 4);
        while (n < sizeof codes) codes[n++] = 0;
        for (size_t vector = 0; vector < 13; ++vector) {
            for (size_t j = 0; j < 4; ++j) {
                unsigned number = 0;
                for (size_t digit = 0; digit < kDigits; ++digit)
                    number = 3 * number + codes[4 * (kDigits * vector + digit) + j];
                packed[32 + 64 * vector + 4 * row + j] = static_cast<uint8_t>((number * 256 + 242) / 243);
            }
        }
    }
};

}  // namespace zp::shared
