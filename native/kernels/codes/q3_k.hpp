// Q3_K packed: 16 half units; for each of eight blocks 24 bytes with two scales of six bits a row
// (words.hpp); for each 128 bytes of pairs of bits and 64 of third bits. Python: formats/q3_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codes<Format::kQ3_K, L> {
    static constexpr int kSpan = 8, kParts = 2, kTop = 7, kZero = 4;
    static constexpr Rule kRule = Rule::kZero;
    struct Head {
        typename L::F unit;
        typename L::I scales;
        // 2 * 32 * 4 * 127 * 16 at most, and the parts' dot products fit 16 bits.
        typename L::F exact(typename L::I a, typename L::I b) const {
            return L::to_float(L::weigh(a, b, scales));
        }
        static typename L::F add_minimum(typename L::F sum, const QuantBlock&) { return sum; }
    };
    static constexpr size_t kHeadBytes = 32, kScaleBytes = 24, kCodeBytes = 192;
    const uint8_t* units_at;
    const uint8_t* codes_at;
    typename L::Rows scales_[2];
    Codes(const uint8_t* packed, int s)
        : units_at(packed), codes_at(packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s) {
        L::split_sixes(packed + kHeadBytes + kScaleBytes * s, scales_[0], scales_[1]);
        for (auto& scale : scales_) scale = L::less_32(scale);
    }
    template <int i>
    typename L::Bytes codes() const {
        return with_ones<L, i, 2>(twos<L, i, 0>(codes_at), codes_at + 128);
    }
    typename L::F unit() const { return load_halves<L>(units_at); }
    Head head() const { return {unit(), L::pairs(scales_[0], scales_[1])}; }
    template <int part>
    typename L::F scale() const {
        return L::mul(unit(), L::to_float(L::widen(scales_[part])));
    }
    template <int>
    typename L::F minimum() const {
        return L::zero();
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        const auto scale = [&](size_t k) {
            const unsigned low = file[96 + k % 8] >> (k < 8 ? 0 : 4) & 15;
            return low | (file[104 + k % 4] >> (2 * (k / 4)) & 3) << 4;
        };
        put_half(file + 108, row, packed);
        for (size_t s = 0; s < 8; ++s) {
            put_sixes(scale(2 * s), scale(2 * s + 1), row, packed + kHeadBytes + kScaleBytes * s);
            uint8_t* block = packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s;
            put_twos(columns_of<2>(file + 32 + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row, block);
            put_ones(columns_of<1>(file, static_cast<int>(s)), row, block + 128);
        }
    }
};

}  // namespace zp::shared
