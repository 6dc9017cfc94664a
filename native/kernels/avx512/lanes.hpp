// Sixteen lanes in one AVX-512 register; int8 products by VNNI. Bit for bit equal to scalar/lanes.hpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/x86/row_bytes.hpp"

namespace zp::avx512 {

struct Lanes : x86::RowBytes<Lanes> {
    static constexpr int kRowTile = 8;
    static constexpr int kWidenFrom = 0;
    static constexpr int kPrefetchBytes = 0;
    static constexpr int kFloatTile = 6;
    static constexpr int kPanelTile = 12;
    static constexpr int kQueryTile = 6;
    static constexpr int kIntQueryTile = 6;
    static constexpr int kAccumulators = 32;
    static constexpr int kDeltaTile = 2;

    using F = __m512;
    using I = __m512i;
    using Bytes = __m512i;

    static F zero() { return _mm512_setzero_ps(); }
    static F set1(float x) { return _mm512_set1_ps(x); }
    static F set1_pinned(float x) { return set1(x); }
    static F load(const float* p) { return _mm512_loadu_ps(p); }
    static void store(float* p, F a) { _mm512_storeu_ps(p, a); }
    static F load_half(const uint16_t* p) {
        return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static void store_half(uint16_t* p, F a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    static F load_bf16(const uint16_t* p) {
        const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
    }

    static F add(F a, F b) { return _mm512_add_ps(a, b); }
    static F sub(F a, F b) { return _mm512_sub_ps(a, b); }
    static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
    static F div(F a, F b) { return _mm512_div_ps(a, b); }
    static F max(F a, F b) { return _mm512_max_ps(a, b); }
    static F min(F a, F b) { return _mm512_min_ps(a, b); }
    static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
    static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
    static F abs(F a) { return _mm512_abs_ps(a); }
    static F copy_sign(F magnitude, F sign) {
        const __m512i bit = _mm512_and_si512(_mm512_castps_si512(sign), _mm512_set1_epi32(INT32_MIN));
        return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(abs(magnitude)), bit));
    }
    static F drop_first(F a, int n, float fill) {
        const __mmask16 dropped = n >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1);
        return _mm512_mask_blend_ps(dropped, a, set1(fill));
    }
    static F keep_first(F a, int n, float fill) {
        const __mmask16 first_n = n >= 16 ? 0xffff : static_cast<__mmask16>((1u << (n < 0 ? 0 : n)) - 1);
        return _mm512_mask_blend_ps(first_n, set1(fill), a);
    }
    static float reduce_add(F a) {
        const __m256 low = _mm512_castps512_ps256(a);
        const __m256 high = _mm512_extractf32x8_ps(a, 1);
        const __m256 eight = _mm256_add_ps(low, high);
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
    }
    static float reduce_max(F a) {
        const __m256 low = _mm512_castps512_ps256(a);
        const __m256 high = _mm512_extractf32x8_ps(a, 1);
        const __m256 eight = _mm256_max_ps(low, high);
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }

    // Compared as integers: NaN is above all other patterns, whereas float comparisons would drop it.
    static I magnitude(F a) {
        return _mm512_and_si512(_mm512_castps_si512(a), _mm512_set1_epi32(0x7fffffff));
    }
    static F larger_magnitudes(F a, F b) {
        return _mm512_castsi512_ps(_mm512_max_epi32(magnitude(a), magnitude(b)));
    }
    static float largest_magnitude(F a) {
        const int32_t most = _mm512_reduce_max_epi32(_mm512_castps_si512(a));
        float peak;
        __builtin_memcpy(&peak, &most, sizeof peak);
        return peak;
    }

    static I round_to_int(F a) {
        return _mm512_cvt_roundps_epi32(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    }
    static F to_float(I a) { return _mm512_cvtepi32_ps(a); }
    static F exp2_int(I n) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(n, _mm512_set1_epi32(127)), 23));
    }
    static F low_bits_to_exponent(F a) {
        return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23));
    }
    static int32_t reduce_add(I a) { return _mm512_reduce_add_epi32(a); }
    static I load_words(const uint8_t* p) { return load_bytes(p); }
    static I load_unsigned(const uint8_t* p) { return _mm512_cvtepu8_epi32(load_rows(p)); }
    template <int from, int to, uint32_t mask>
    static I bits(I a) {
        return _mm512_slli_epi32(
            _mm512_and_si512(_mm512_srli_epi32(a, from), _mm512_set1_epi32(static_cast<int>(mask))), to);
    }
    static I either(I a, I b) { return _mm512_or_si512(a, b); }
    static I exclusive(I a, I b) { return _mm512_xor_si512(a, b); }
    static Bytes as_bytes(I a) { return a; }
    static Bytes gather(const uint32_t* table, I indices) {
        alignas(64) uint32_t at[16];
        _mm512_store_si512(at, indices);
        const __m256i low = _mm256_set_m128i(four_words(table, at + 4), four_words(table, at));
        const __m256i high = _mm256_set_m128i(four_words(table, at + 12), four_words(table, at + 8));
        return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
    static I zero_int() { return _mm512_setzero_si512(); }
    static void store_int16(int16_t* p, I a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(a));
    }
    static I load_pairs(const int16_t* p) { return _mm512_loadu_si512(p); }
    static I load_pairs(const int8_t* p) {
        return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    }
    static I add_products(I sum, I a, const int16_t* two) {
        return _mm512_dpwssd_epi32(sum, a, broadcast(two));
    }
    static void store_int8(int8_t* p, I a) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a));
    }

    static Bytes load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
    static void store_bytes(uint8_t* p, Bytes a) { _mm512_storeu_si512(p, a); }
    template <int from, int to>
    static Bytes moved(Bytes a) {
        if constexpr (from > to) return _mm512_srli_epi16(a, from - to);
        if constexpr (from < to) return _mm512_slli_epi16(a, to - from);
        return a;
    }
    template <int from, int to, int mask>
    static Bytes field(Bytes a) {
        return _mm512_and_si512(moved<from, to>(a), _mm512_set1_epi8(static_cast<char>(mask)));
    }
    template <int from, int to, int mask>
    static Bytes merge(Bytes base, Bytes a) {
        constexpr int kFirstOrSecondAndThird = 0xf8;
        const Bytes other = moved<from, to>(a), mask_bytes = _mm512_set1_epi8(static_cast<char>(mask));
        return _mm512_ternarylogic_epi32(base, other, mask_bytes, kFirstOrSecondAndThird);
    }
    static Bytes look_up(const uint8_t* table, Bytes a) {
        return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(load_rows(table)), a);
    }
    // Multiplies even and odd bytes separately, each in the high byte of 16 bits for the second product.
    static Bytes ternary_digits(Bytes a, uint8_t power) {
        const __m512i by = _mm512_set1_epi16(power), three = _mm512_set1_epi16(3);
        const __m512i high = _mm512_set1_epi16(static_cast<short>(0xff00));
        const __m512i even = _mm512_slli_epi16(_mm512_mullo_epi16(a, by), 8);
        const __m512i odd = _mm512_mullo_epi16(_mm512_and_si512(a, high), by);
        return _mm512_or_si512(_mm512_mulhi_epu16(even, three),
                               _mm512_slli_epi16(_mm512_mulhi_epu16(odd, three), 8));
    }
    template <int j>
    static I column(Bytes a) {
        return _mm512_and_si512(_mm512_srli_epi32(a, 8 * j), _mm512_set1_epi32(255));
    }

    static I broadcast(const int8_t* a) {
        int32_t four;
        __builtin_memcpy(&four, a, 4);
        return _mm512_set1_epi32(four);
    }
    static I widen(Rows a) { return _mm512_cvtepi8_epi32(a); }
    // Below 2, where a number is denormal, the second pattern is the larger one.
    static F powers_of_two(Rows a) {
        const __m512i e = _mm512_cvtepu8_epi32(a), one = _mm512_set1_epi32(1);
        return _mm512_castsi512_ps(_mm512_max_epi32(_mm512_slli_epi32(_mm512_sub_epi32(e, one), 23),
                                                    _mm512_slli_epi32(_mm512_add_epi32(e, one), 21)));
    }
    static F load_e4m3(const uint8_t* p) {
        return _mm512_cvtph_ps(_mm256_slli_epi16(_mm256_cvtepu8_epi16(load_rows(p)), 7));
    }
    static I pairs(Rows a, Rows b) {
        return _mm512_cvtepi8_epi16(_mm256_set_m128i(_mm_unpackhi_epi8(a, b), _mm_unpacklo_epi8(a, b)));
    }
    static I broadcast(const int16_t* two) { return broadcast(reinterpret_cast<const int8_t*>(two)); }
    static I dot_pairs(I a, const int16_t* two) { return _mm512_madd_epi16(a, broadcast(two)); }
    static I weighted_sum(I a, I b, I by) {
        return _mm512_madd_epi16(_mm512_mask_blend_epi16(0xaaaaaaaa, a, _mm512_slli_epi32(b, 16)), by);
    }

    template <int kMaxCode, int kZeroPoint, int kPart>
    struct Dot {
        static constexpr uint32_t kLess = static_cast<uint16_t>(-kZeroPoint);
        static constexpr uint32_t kWeights = (kPart != 1 ? kLess : 0u) | (kPart != 0 ? kLess : 0u) << 16;
        I acc;
        void start(const int16_t* half_sums) {
            acc = _mm512_setzero_si512();
            if constexpr (kZeroPoint != 0)
                acc = _mm512_madd_epi16(broadcast(half_sums),
                                        _mm512_set1_epi32(static_cast<int32_t>(kWeights)));
        }
        template <int, int, int v>
        void add(Bytes w, const int8_t* q) {
            acc = _mm512_dpbusd_epi32(acc, w, broadcast(q + 4 * v));
        }
        I finish(const int16_t*) const { return acc; }
    };
};

}  // namespace zp::avx512
