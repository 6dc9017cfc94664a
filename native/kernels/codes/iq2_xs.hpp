// IQ2_XS packed: 16 half super-scales; per sub-block (8 of them) 16 bytes with two 4-bit scales, 4 * 16
// indices of eight columns, and 16 words with 28 signs and, in the upper four bits, the ninth bits of the
// indices. Python: formats/_read_only/iq2_xs.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<512> kIQ2_XSWords{lattice("IQ2_XS")};

template <class L>
struct Codec<Format::kIQ2_XS, L> : EightColumns<L>, NibbleScales<L> {
    static constexpr int kParts = 2;
    static constexpr size_t kHeadBytes = 32, kSubBlockBytes = 144;
    Codec(const uint8_t* packed, int s)
        : EightColumns<L>{}, NibbleScales<L>{packed, packed + kHeadBytes + kSubBlockBytes * s} {
        const uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s + 16;
        const auto words = L::load_words(at + 64);
        this->signs_ = L::as_bytes(with_last_signs<L>(words));
        this->points_[0] = L::gather(kIQ2_XSWords.at, wide_indices<L, 28, 1>(at, words));
        this->points_[1] = L::gather(kIQ2_XSWords.at, wide_indices<L, 29, 1>(at + 16, words));
        this->points_[2] = L::gather(kIQ2_XSWords.at, wide_indices<L, 30, 1>(at + 32, words));
        this->points_[3] = L::gather(kIQ2_XSWords.at, wide_indices<L, 31, 1>(at + 48, words));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
            at[row] = file[66 + s];
            unsigned signs[4];
            uint32_t ninths = 0;
            for (size_t g = 0; g < 4; ++g) {
                const uint8_t* code = file + 2 + 8 * s + 2 * g;  // 9 bits of index, 7 of signs
                at[16 + 16 * g + row] = code[0];
                ninths |= (code[1] & 1u) << (28 + g);
                signs[g] = code[1] >> 1;
            }
            put_word(at + 80, 0, row, word_of_seven_signs(signs) | ninths);
        }
    }
};

}  // namespace zp::shared
