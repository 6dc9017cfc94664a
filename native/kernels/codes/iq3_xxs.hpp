// IQ3_XXS packed: 16 half super-scales; per sub-block (8 of them) 8 * 16 indices of four columns, and 16
// words as in IQ2_XXS. Python: formats/_read_only/iq3_xxs.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<256> kIQ3_XXSWords{lattice("IQ3_XXS")};

// 62 plus a level (4, 12, 20, 28, 36, 44, 52 or 62), then minus it.
alignas(16) inline constexpr uint8_t kIQ3_XXSLevels[16] = {66, 74, 82, 90, 98, 106, 114, 124,
                                                           58, 50, 42, 34, 26, 18,  10,  0};

template <class L>
struct Codec<Format::kIQ3_XXS, L> : FourColumns<L>, OneScale<L> {
    static constexpr int kMaxCode = 124, kZeroPoint = 62;
    static constexpr size_t kHeadBytes = 32, kSubBlockBytes = 192;
    Codec(const uint8_t* packed, int s) {
        const uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
        const auto words = L::load_words(at + 128);
        this->scale_ = scale_of<L>(packed, words, 0.25f);
        this->signs_ = L::as_bytes(with_last_signs<L>(words));
        for (int i = 0; i < 8; ++i)
            this->points_[i] = L::gather(kIQ3_XXSWords.at, L::load_unsigned(at + 16 * i));
    }
    template <int i>
    typename L::Bytes codes() const {
        return FourColumns<L>::template codes<i>(kIQ3_XXSLevels);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
            for (size_t i = 0; i < 8; ++i) at[16 * i + row] = file[2 + 8 * s + i];
            put_word(at + 128, 0, row, signs_and_scale(word_at(file + 66 + 4 * s)));
        }
    }
};

}  // namespace zp::shared
