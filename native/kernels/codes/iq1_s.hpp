// IQ1_S packed: 16 half super-scales; per sub-block (8 of them) 4 * 16 indices of eight columns, and 16
// numbers of 16 bits, the low bytes first: three more bits of each index, a 3-bit scale and the bit of
// EightTernaryColumns. Python: formats/_read_only/iq1_s.py.
#pragma once

#include "kernels/codes/lattice_codes.hpp"

namespace zp::shared {

inline constexpr LatticeWords<2048> kIQ1Words{lattice("IQ1_S")};

template <class L>
struct Codec<Format::kIQ1_S, L> : EightTernaryColumns<L>, OneScale<L> {
    static constexpr size_t kHeadBytes = 32, kSubBlockBytes = 96;
    Codec(const uint8_t* packed, int s) {
        const uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
        const auto words = this->load_pairs_of_bytes(at + 64);
        const auto odd = L::add(L::to_float(L::template bits<12, 1, 7>(words)), L::set1(1.0f));
        this->scale_ = L::mul(L::mul(load_halves<L>(packed), odd), L::set1(0.125f));
        for (auto& shift : this->shifts_) shift = this->template shift<15>(words);
        this->points_[0] = L::gather(kIQ1Words.at, wide_indices<L, 0, 3>(at, words));
        this->points_[1] = L::gather(kIQ1Words.at, wide_indices<L, 3, 3>(at + 16, words));
        this->points_[2] = L::gather(kIQ1Words.at, wide_indices<L, 6, 3>(at + 32, words));
        this->points_[3] = L::gather(kIQ1Words.at, wide_indices<L, 9, 3>(at + 48, words));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            uint8_t* at = packed + kHeadBytes + kSubBlockBytes * s;
            for (size_t g = 0; g < 4; ++g) at[16 * g + row] = file[2 + 4 * s + g];
            for (size_t i = 0; i < 2; ++i) at[64 + 16 * i + row] = file[34 + 2 * s + i];
        }
    }
};

}  // namespace zp::shared
