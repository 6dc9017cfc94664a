// Q2_K packed: 16 half units of scales, 16 of minimums; for each of eight blocks two times 16 bytes, a scale
// in the low and a minimum in the high half; for each 128 bytes of pairs of bits. Python: formats/q2_k.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

template <class L>
struct Codes<Format::kQ2_K, L> {
    static constexpr int kSpan = 8, kParts = 2, kTop = 3, kZero = 0;
    static constexpr Rule kRule = Rule::kMinus;
    struct Head {
        typename L::F unit, minimum_unit;
        typename L::I scales, minimums;
        // 2 * 15 * 3 * 127 * 16 at most, and the parts' dot products fit 16 bits.
        typename L::F exact(typename L::I a, typename L::I b) const {
            return L::to_float(L::weigh(a, b, scales));
        }
        typename L::F add_minimum(typename L::F sum, const QuantBlock& x) const {
            const auto exactly = L::to_float(L::dot_pairs(minimums, x.half_sums));
            return L::fnma(exactly, L::mul(minimum_unit, L::set1(x.scale)), sum);
        }
    };
    static constexpr size_t kHeadBytes = 64, kScaleBytes = 32, kCodeBytes = 128;
    const uint8_t* units_at;
    const uint8_t* scales_at;
    const uint8_t* codes_at;
    Codes(const uint8_t* packed, int s)
        : units_at(packed),
          scales_at(packed + kHeadBytes + kScaleBytes * s),
          codes_at(packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s) {}
    template <int i>
    typename L::Bytes codes() const {
        return twos<L, i, 0>(codes_at);
    }
    typename L::F unit() const { return load_halves<L>(units_at); }
    typename L::F minimum_unit() const { return load_halves<L>(units_at + 32); }
    Head head() const {
        const auto first = L::load_rows(scales_at), second = L::load_rows(scales_at + 16);
        return {unit(), minimum_unit(), L::pairs(L::low_nibbles(first), L::low_nibbles(second)),
                L::pairs(L::high_nibbles(first), L::high_nibbles(second))};
    }
    template <int part>
    typename L::F scale() const {
        return L::mul(unit(), L::to_float(L::widen(L::low_nibbles(L::load_rows(scales_at + 16 * part)))));
    }
    template <int part>
    typename L::F minimum() const {
        return L::mul(minimum_unit(),
                      L::to_float(L::widen(L::high_nibbles(L::load_rows(scales_at + 16 * part)))));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_half(file + 80, row, packed);
        put_half(file + 82, row, packed + 32);
        for (size_t k = 0; k < 16; ++k) packed[kHeadBytes + 16 * k + row] = file[k];
        for (size_t s = 0; s < 8; ++s)
            put_twos(columns_of<2>(file + 16 + 32 * (s / 4), static_cast<int>(2 * (s % 4))), row,
                     packed + kHeadBytes + 8 * kScaleBytes + kCodeBytes * s);
    }
};

}  // namespace zp::shared
