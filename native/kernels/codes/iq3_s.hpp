// IQ3_S packed: 16 half super-scales; per pair of sub-blocks (4 of them) 16 bytes with two 4-bit scales; per
// sub-block 8 * 16 indices of four columns, 16 bytes with the ninth bit of each index, and 16 words of signs.
// Python: formats/_read_only/iq3_s.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<512> kIQ3_SWords{lattice("IQ3_S")};

// 15 plus a level (1, 3, 5, 7, 9, 11, 13 or 15), then minus it.
alignas(16) inline constexpr uint8_t kIQ3_SLevels[16] = {16, 18, 20, 22, 24, 26, 28, 30,
                                                         14, 12, 10, 8,  6,  4,  2,  0};

template <class L>
struct Codec<Format::kIQ3_S, L> : FourColumns<L>, OneScale<L> {
    static constexpr int kMaxCode = 30, kZeroPoint = 15;
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 16, kSubBlockBytes = 208;
    Codec(const uint8_t* packed, int s) {
        const auto rows = L::load_rows(packed + kHeadBytes + kScaleBytes * (s / 2));
        const auto scale = L::to_float(L::widen(s % 2 == 0 ? L::low_nibbles(rows) : L::high_nibbles(rows)));
        this->scale_ = L::mul(load_halves<L>(packed), L::add(L::add(scale, scale), L::set1(1.0f)));
        const uint8_t* at = packed + kHeadBytes + 4 * kScaleBytes + kSubBlockBytes * s;
        this->signs_ = L::load_bytes(at + 144);
        look_up_points<0>(at, L::load_unsigned(at + 128));
    }
    template <int i>
    void look_up_points(const uint8_t* at, typename L::I ninths) {
        if constexpr (i < 8) {
            this->points_[i] = L::gather(kIQ3_SWords.at, wide_indices<L, i, 1>(at + 16 * i, ninths));
            look_up_points<i + 1>(at, ninths);
        }
    }
    template <int i>
    typename L::Bytes codes() const {
        return FourColumns<L>::template codes<i>(kIQ3_SLevels);
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 4; ++s) packed[kHeadBytes + kScaleBytes * s + row] = file[106 + s];
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + 4 * kScaleBytes + kSubBlockBytes * s;
            for (size_t i = 0; i < 8; ++i) at[16 * i + row] = file[2 + 8 * s + i];
            at[128 + row] = file[66 + s];
            put_word(at + 144, 0, row, sign_word(word_at(file + 74 + 4 * s)));
        }
    }
};

}  // namespace zp::shared
