// Sixteen lanes in plain C++: the reference. Every other lanes.hpp returns the same bits for the same call,
// because each operation is one IEEE operation per lane and reductions add in one fixed order.
#pragma once

#include <cstdint>
#include <cstring>

#include "formats/half.hpp"

namespace zp::scalar {

struct Lanes {
    static constexpr int kRowTile = 4;           // tokens per int8 tile
    static constexpr int kWidenFrom = 0;         // tokens from which int8 blocks are decoded once; 0: never
    static constexpr int kPrefetchBytes = 1536;  // how far ahead to prefetch streamed memory; 0: not at all
    static constexpr int kFloatTile = 2;         // tokens per tile of float weights
    static constexpr int kPanelTile = 4;         // tokens per tile of dequantized weights
    static constexpr int kQueryTile = 4;         // query rows that share one read of the keys
    static constexpr int kIntQueryTile = 4;      // the same for integer keys
    static constexpr int kAccumulators = 8;      // vectors of 16 floats that fit in registers
    static constexpr int kDeltaTile = 1;  // vectors of a recurrent state that share one pass of the tokens

    struct F {
        float v[16];
    };
    struct I {
        int32_t v[16];
    };
    struct Bytes {
        uint8_t v[64];  // 16 rows x 4 adjacent columns
    };
    struct Rows {
        int8_t v[16];  // one byte per row
    };

    static F zero() { return set1(0.0f); }
    static F set1(float x) {
        F r;
        for (float& e : r.v) e = x;
        return r;
    }
    static F set1_pinned(float x) { return set1(x); }
    static F load(const float* p) {
        F r;
        std::memcpy(r.v, p, sizeof r.v);
        return r;
    }
    static void store(float* p, F a) { std::memcpy(p, a.v, sizeof a.v); }
    static F load_half(const uint16_t* p) {
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = half_to_float(p[i]);
        return r;
    }
    static void store_half(uint16_t* p, F a) {
        for (int i = 0; i < 16; ++i) p[i] = float_to_half(a.v[i]);
    }
    static F load_bf16(const uint16_t* p) {
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = bf16_to_float(p[i]);
        return r;
    }

#define ZP_BINARY(name, expression)                         \
    static F name(F a, F b) {                               \
        F r;                                                \
        for (int i = 0; i < 16; ++i) r.v[i] = (expression); \
        return r;                                           \
    }
    ZP_BINARY(add, a.v[i] + b.v[i])
    ZP_BINARY(sub, a.v[i] - b.v[i])
    ZP_BINARY(mul, a.v[i] * b.v[i])
    ZP_BINARY(div, a.v[i] / b.v[i])
    ZP_BINARY(max, a.v[i] > b.v[i] ? a.v[i] : b.v[i])
    ZP_BINARY(min, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
#undef ZP_BINARY
    static F fma(F a, F b, F c) {
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = __builtin_fmaf(a.v[i], b.v[i], c.v[i]);
        return r;
    }
    static F fnma(F a, F b, F c) {  // c - a * b
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = __builtin_fmaf(-a.v[i], b.v[i], c.v[i]);
        return r;
    }
    static F abs(F a) {
        for (float& e : a.v) e = __builtin_fabsf(e);
        return a;
    }
    static F copy_sign(F magnitude, F sign) {
        for (int i = 0; i < 16; ++i) magnitude.v[i] = __builtin_copysignf(magnitude.v[i], sign.v[i]);
        return magnitude;
    }
    // The first n lanes become `fill`.
    static F drop_first(F a, int n, float fill) {
        for (int i = 0; i < 16 && i < n; ++i) a.v[i] = fill;
        return a;
    }
    // Lanes n and above become `fill`.
    static F keep_first(F a, int n, float fill) {
        for (int i = n < 0 ? 0 : n; i < 16; ++i) a.v[i] = fill;
        return a;
    }
    static float reduce_add(F a) {
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) a.v[i] = a.v[i] + a.v[i + half];
        return a.v[0];
    }
    static float reduce_max(F a) {
        for (int half = 8; half > 0; half /= 2)
            for (int i = 0; i < half; ++i) a.v[i] = a.v[i] > a.v[i + half] ? a.v[i] : a.v[i + half];
        return a.v[0];
    }

    // The larger |x| per lane, or NaN if either is NaN: compared as integers, NaN is above infinity.
    static F larger_magnitudes(F a, F b) {
        for (int i = 0; i < 16; ++i) {
            const uint32_t x = float_to_bits(a.v[i]) & 0x7fffffffu, y = float_to_bits(b.v[i]) & 0x7fffffffu;
            a.v[i] = bits_to_float(x > y ? x : y);
        }
        return a;
    }
    // The largest lane of such magnitudes.
    static float largest_magnitude(F a) {
        uint32_t largest = 0;
        for (const float e : a.v)
            if (float_to_bits(e) > largest) largest = float_to_bits(e);
        return bits_to_float(largest);
    }

    // Rounds to the nearest integer, ties to even; |a| must be below 2^22 (NaN gives any integer).
    static I round_to_int(F a) {
        I r;
        for (int i = 0; i < 16; ++i) {
            const float shifted = a.v[i] + 12582912.0f;  // 1.5 * 2^23 puts the integer in the low bits
            r.v[i] = static_cast<int32_t>(float_to_bits(shifted) - 0x4b400000u);
        }
        return r;
    }
    static F to_float(I a) {
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = static_cast<float>(a.v[i]);
        return r;
    }
    // 2^n for n in [-126, 127].
    static F exp2_int(I n) {
        F r;
        for (int i = 0; i < 16; ++i) {
            const uint32_t bits = static_cast<uint32_t>(n.v[i] + 127) << 23;
            std::memcpy(&r.v[i], &bits, 4);
        }
        return r;
    }
    // 2^(n - 127) for n from 0 to 254 in the lowest bits of each lane; zero for n = 0.
    static F low_bits_to_exponent(F a) {
        for (int i = 0; i < 16; ++i) a.v[i] = bits_to_float(float_to_bits(a.v[i]) << 23);
        return a;
    }
    static int32_t reduce_add(I a) {
        int32_t total = 0;
        for (int32_t e : a.v) total += e;
        return total;
    }
    static I zero_int() { return {}; }
    // 16 words, and 16 bytes widened to words.
    static I load_words(const uint8_t* p) {
        I r;
        std::memcpy(r.v, p, sizeof r.v);
        return r;
    }
    static I load_unsigned(const uint8_t* p) {
        I r;
        for (int i = 0; i < 16; ++i) r.v[i] = p[i];
        return r;
    }
    // Bits of each word from bit `from` on, moved to bit `to`.
    template <int from, int to, uint32_t mask>
    static I bits(I a) {
        for (int32_t& e : a.v) e = static_cast<int32_t>((static_cast<uint32_t>(e) >> from & mask) << to);
        return a;
    }
    static I either(I a, I b) {
        for (int i = 0; i < 16; ++i) a.v[i] |= b.v[i];
        return a;
    }
    static I exclusive(I a, I b) {
        for (int i = 0; i < 16; ++i) a.v[i] ^= b.v[i];
        return a;
    }
    static Bytes as_bytes(I a) {
        Bytes r;
        std::memcpy(r.v, a.v, sizeof r.v);
        return r;
    }
    // The words of a table at these indices.
    static Bytes gather(const uint32_t* table, I indices) {
        for (int32_t& e : indices.v) e = static_cast<int32_t>(table[e]);
        return as_bytes(indices);
    }
    static void store_int16(int16_t* p, I a) {
        for (int i = 0; i < 16; ++i) p[i] = static_cast<int16_t>(a.v[i]);
    }
    // 16 pairs of int16; add_products multiplies each with one pair and adds the two products.
    struct Pairs {
        int16_t v[32];
    };
    static Pairs load_pairs(const int16_t* p) {
        Pairs r;
        std::memcpy(r.v, p, sizeof r.v);
        return r;
    }
    static Pairs load_pairs(const int8_t* p) {
        Pairs r;
        for (int i = 0; i < 32; ++i) r.v[i] = p[i];
        return r;
    }
    static I add_products(I sum, Pairs a, const int16_t* two) {
        for (int i = 0; i < 16; ++i) {
            const int32_t more = a.v[2 * i] * two[0] + a.v[2 * i + 1] * two[1];
            // Wraps around as registers do, in case a cache page restored from a file exceeds the limits.
            sum.v[i] = static_cast<int32_t>(static_cast<uint32_t>(sum.v[i]) + static_cast<uint32_t>(more));
        }
        return sum;
    }
    static void store_int8(int8_t* p, I a) {
        for (int i = 0; i < 16; ++i) p[i] = static_cast<int8_t>(a.v[i]);
    }

    static Bytes load_bytes(const uint8_t* p) {
        Bytes r;
        std::memcpy(r.v, p, 64);
        return r;
    }
    static void store_bytes(uint8_t* p, Bytes a) { std::memcpy(p, a.v, 64); }
    // Shifts each byte from bit `from` to bit `to` and applies `mask`.
    template <int from, int to, int mask>
    static Bytes field(Bytes a) {
        for (uint8_t& e : a.v) e = static_cast<uint8_t>((e << to >> from) & mask);
        return a;
    }
    // Inserts such bits into `base`.
    template <int from, int to, int mask>
    static Bytes merge(Bytes base, Bytes a) {
        const Bytes moved = field<from, to, mask>(a);
        for (int i = 0; i < 64; ++i) base.v[i] |= moved.v[i];
        return base;
    }
    // table[byte] for bytes below 16.
    static Bytes look_up(const uint8_t* table, Bytes a) {
        for (uint8_t& e : a.v) e = table[e];
        return a;
    }
    // The highest base-3 digit of (byte * power mod 256) / 256, for numbers as codes/tq1_0.hpp packs them.
    static Bytes ternary_digits(Bytes a, uint8_t power) {
        for (uint8_t& e : a.v) e = static_cast<uint8_t>(static_cast<uint8_t>(e * power) * 3 >> 8);
        return a;
    }
    // Column j (0 to 3) of each row, as an integer.
    template <int j>
    static I column(Bytes a) {
        I r;
        for (int i = 0; i < 16; ++i) r.v[i] = a.v[4 * i + j];
        return r;
    }

    static Rows load_rows(const uint8_t* p) {
        Rows r;
        std::memcpy(r.v, p, 16);
        return r;
    }
    static Rows low_nibbles(Rows a) {
        for (int8_t& e : a.v) e &= 15;
        return a;
    }
    static Rows high_nibbles(Rows a) {
        for (int8_t& e : a.v) e = static_cast<int8_t>(static_cast<uint8_t>(e) >> 4);
        return a;
    }
    static Rows subtract_32(Rows a) {
        for (int8_t& e : a.v) e = static_cast<int8_t>(e - 32);
        return a;
    }
    // Unpacks two 6-bit numbers per row from 24 bytes, as codes/bit_packing.hpp packs them.
    static void split_six_bits(const uint8_t* p, Rows& first, Rows& second) {
        for (int i = 0; i < 16; ++i) {
            const int upper = p[16 + i % 8] >> (i < 8 ? 0 : 4);
            first.v[i] = static_cast<int8_t>((p[i] & 15) | (upper & 3) << 4);
            second.v[i] = static_cast<int8_t>(p[i] >> 4 | (upper & 12) << 2);
        }
    }
    static I widen(Rows a) {
        I r;
        for (int i = 0; i < 16; ++i) r.v[i] = a.v[i];
        return r;
    }
    // 2^(byte - 128) for unsigned bytes; the smallest two are denormal.
    static F powers_of_two(Rows a) {
        F r;
        for (int i = 0; i < 16; ++i) {
            const int32_t e = static_cast<uint8_t>(a.v[i]);
            r.v[i] = bits_to_float(static_cast<uint32_t>(e < 2 ? (e + 1) << 21 : (e - 1) << 23));
        }
        return r;
    }
    // 16 numbers of four bits of exponent and three of mantissa, without a sign (E4M3), divided by 2^8.
    static F load_e4m3(const uint8_t* p) {
        F r;
        for (int i = 0; i < 16; ++i) r.v[i] = half_to_float(static_cast<uint16_t>(p[i] << 7));
        return r;
    }
    // Two int16 per row, a in the low half.
    static I pairs(Rows a, Rows b) {
        I r;
        for (int i = 0; i < 16; ++i)
            r.v[i] = static_cast<int32_t>((a.v[i] & 0xffffu) | static_cast<uint32_t>(b.v[i]) << 16);
        return r;
    }
    // Per row: first of the pair * two[0] + second * two[1].
    static I dot_pairs(I a, const int16_t* two) {
        for (int32_t& e : a.v) e = static_cast<int16_t>(e) * two[0] + (e >> 16) * two[1];
        return a;
    }
    // Per row: first of the pair `by` * a + second * b, for a and b that fit 16 bits.
    static I weighted_sum(I a, I b, I by) {
        for (int i = 0; i < 16; ++i)
            by.v[i] = static_cast<int16_t>(by.v[i]) * a.v[i] + (by.v[i] >> 16) * b.v[i];
        return by;
    }

    // Accumulates (code - kZeroPoint) * activation for codes from 0 to kMaxCode, over all 32 columns of a
    // block (kPart -1) or one half of them. half_sums are the sums of the activations; add<i, n, v> adds the
    // i-th of n vectors, which holds columns 4 * v to 4 * v + 3.
    template <int kMaxCode, int kZeroPoint, int kPart>
    struct Dot {
        I acc;
        void start(const int16_t* half_sums) {
            const int sum = (kPart != 1 ? half_sums[0] : 0) + (kPart != 0 ? half_sums[1] : 0);
            for (int32_t& e : acc.v) e = -kZeroPoint * sum;
        }
        template <int i, int n, int v>
        void add(Bytes w, const int8_t* q) {
            for (int r = 0; r < 16; ++r)
                for (int j = 0; j < 4; ++j) acc.v[r] += w.v[4 * r + j] * q[4 * v + j];
        }
        I finish(const int16_t*) const { return acc; }
    };
};

}  // namespace zp::scalar
