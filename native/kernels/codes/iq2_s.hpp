// IQ2_S packed: 16 half super-scales; per sub-block (8 of them) 16 bytes with two 4-bit scales, 4 * 16
// indices of eight columns, 16 bytes with two more bits of each index, and 16 words of signs. Python:
// formats/_read_only/iq2_s.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<1024> kIQ2_SWords{lattice("IQ2_S")};

template <class L>
struct Codec<Format::kIQ2_S, L> : EightColumns<L>, NibbleScales<L> {
    static constexpr int kParts = 2;
    static constexpr size_t kHeadBytes = 32, kSubBlockBytes = 160;
    Codec(const uint8_t* packed, int s)
        : EightColumns<L>{}, NibbleScales<L>{packed, packed + kHeadBytes + kSubBlockBytes * s} {
        const uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s + 16;
        const auto upper = L::load_unsigned(at + 64);
        this->signs_ = L::load_bytes(at + 80);
        this->points_[0] = L::gather(kIQ2_SWords.at, wide_indices<L, 0, 2>(at, upper));
        this->points_[1] = L::gather(kIQ2_SWords.at, wide_indices<L, 2, 2>(at + 16, upper));
        this->points_[2] = L::gather(kIQ2_SWords.at, wide_indices<L, 4, 2>(at + 32, upper));
        this->points_[3] = L::gather(kIQ2_SWords.at, wide_indices<L, 6, 2>(at + 48, upper));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
            at[row] = file[74 + s];
            for (size_t g = 0; g < 4; ++g) at[16 + 16 * g + row] = file[2 + 4 * s + g];
            at[80 + row] = file[66 + s];
            put_word(at + 96, 0, row, sign_word(word_at(file + 34 + 4 * s)));
        }
    }
};

}  // namespace zp::shared
