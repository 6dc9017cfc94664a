// IQ2_XXS packed: 16 half super-scales; per sub-block (8 of them) 4 * 16 indices of eight columns, and 16
// words with 28 signs and, in the upper four bits, a scale. Python: formats/_read_only/iq2_xxs.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<256> kIQ2_XXSWords{lattice("IQ2_XXS")};

template <class L>
struct Codec<Format::kIQ2_XXS, L> : EightColumns<L>, OneScale<L> {
    static constexpr size_t kHeadBytes = 32, kSubBlockBytes = 128;
    Codec(const uint8_t* packed, int s) {
        const uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
        const auto words = L::load_words(at + 64);
        this->scale_ = scale_of<L>(packed, words, 0.125f);
        this->signs_ = L::as_bytes(with_last_signs<L>(words));
        for (int g = 0; g < 4; ++g)
            this->points_[g] = L::gather(kIQ2_XXSWords.at, L::load_unsigned(at + 16 * g));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
            for (size_t g = 0; g < 4; ++g) at[16 * g + row] = file[2 + 8 * s + g];
            put_word(at + 64, 0, row, signs_and_scale(word_at(file + 6 + 8 * s)));
        }
    }
};

}  // namespace zp::shared
