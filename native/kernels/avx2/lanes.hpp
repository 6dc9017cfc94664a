// Sixteen lanes in two AVX2 registers, with FMA and F16C. Bit for bit equal to scalar/lanes.hpp.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "kernels/x86/row_bytes.hpp"

namespace zp::avx2 {

struct Lanes : x86::RowBytes<Lanes> {
    static constexpr int kRowTile = 4;
    static constexpr int kWidenFrom = 16;
    static constexpr int kPrefetchBytes = 1536;
    static constexpr int kFloatTile = 3;
    static constexpr int kPanelTile = 6;
    static constexpr int kQueryTile = 6;
    static constexpr int kIntQueryTile = 6;
    static constexpr int kAccumulators = 8;
    static constexpr int kDeltaTile = 1;

    struct F {
        __m256 lo, hi;
    };
    struct I {
        __m256i lo, hi;
    };
    struct Bytes {
        __m256i lo, hi;
    };

    static F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
    static F set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
    // set1 pinned to a register for a loop: GCC would reload the constant from memory at each use.
    static F set1_pinned(float x) {
        __m256 v = _mm256_set1_ps(x);
        asm("" : "+x"(v));
        return {v, v};
    }
    static F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
    static void store(float* p, F a) {
        _mm256_storeu_ps(p, a.lo);
        _mm256_storeu_ps(p + 8, a.hi);
    }
    static __m128i load8(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static F load_half(const uint16_t* p) {
        return {_mm256_cvtph_ps(load8(p)), _mm256_cvtph_ps(load8(p + 8))};
    }
    static void store_half(uint16_t* p, F a) {
        constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, kNearest));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, kNearest));
    }
    static F load_bf16(const uint16_t* p) {
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load8(p)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load8(p + 8)), 16))};
    }

    static F add(F a, F b) { return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)}; }
    static F sub(F a, F b) { return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)}; }
    static F mul(F a, F b) { return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)}; }
    static F div(F a, F b) { return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)}; }
    static F max(F a, F b) { return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)}; }
    static F min(F a, F b) { return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)}; }
    static F fma(F a, F b, F c) {
        return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
    }
    static F fnma(F a, F b, F c) {
        return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
    }
    static F abs(F a) {
        const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MAX));
        return {_mm256_and_ps(a.lo, magnitude), _mm256_and_ps(a.hi, magnitude)};
    }
    static F copy_sign(F magnitude, F sign) {
        const __m256 bit = _mm256_castsi256_ps(_mm256_set1_epi32(INT32_MIN));
        const F size = abs(magnitude);
        return {_mm256_or_ps(size.lo, _mm256_and_ps(sign.lo, bit)),
                _mm256_or_ps(size.hi, _mm256_and_ps(sign.hi, bit))};
    }
    static F drop_first(F a, int n, float fill) { return blend(a, set1(fill), n); }
    static F keep_first(F a, int n, float fill) { return blend(set1(fill), a, n); }
    // The first n lanes from `first`, the others from `rest`.
    static F blend(F rest, F first, int n) {
        const __m256i count = _mm256_set1_epi32(n);
        const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
        const __m256 lo = _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, index));
        const __m256 hi =
            _mm256_castsi256_ps(_mm256_cmpgt_epi32(count, _mm256_add_epi32(index, _mm256_set1_epi32(8))));
        return {_mm256_blendv_ps(rest.lo, first.lo, lo), _mm256_blendv_ps(rest.hi, first.hi, hi)};
    }
    static float reduce_add(F a) {
        const __m256 eight = _mm256_add_ps(a.lo, a.hi);
        __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehdup_ps(four)));
    }
    static float reduce_max(F a) {
        const __m256 eight = _mm256_max_ps(a.lo, a.hi);
        __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
        four = _mm_max_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
    }

    // Compared as integers: NaN is above all other patterns, whereas float comparisons would drop it.
    static __m256i magnitude(__m256 a) {
        return _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7fffffff));
    }
    static __m256 larger(__m256 a, __m256 b) {
        return _mm256_castsi256_ps(_mm256_max_epi32(magnitude(a), magnitude(b)));
    }
    static F larger_magnitudes(F a, F b) { return {larger(a.lo, b.lo), larger(a.hi, b.hi)}; }
    static float largest_magnitude(F a) {
        const __m256i eight = _mm256_castps_si256(larger(a.lo, a.hi));
        __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        four = _mm_max_epi32(four, _mm_shuffle_epi32(four, 0xb1));
        return _mm_cvtss_f32(_mm_castsi128_ps(four));
    }

    // The default rounding mode is to nearest even; nothing in the process may change it.
    static I round_to_int(F a) { return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)}; }
    static F to_float(I a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
    static F exp2_int(I n) {
        const __m256i bias = _mm256_set1_epi32(127);
        return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.lo, bias), 23)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n.hi, bias), 23))};
    }
    static __m256 low_bits_to_exponent(__m256 a) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23));
    }
    static F low_bits_to_exponent(F a) { return {low_bits_to_exponent(a.lo), low_bits_to_exponent(a.hi)}; }
    static int32_t reduce_add(I a) {
        const __m256i eight = _mm256_add_epi32(a.lo, a.hi);
        __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
        four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
        return _mm_cvtsi128_si32(_mm_add_epi32(four, _mm_shuffle_epi32(four, 0xb1)));
    }
    static I load_words(const uint8_t* p) {
        const Bytes a = load_bytes(p);
        return {a.lo, a.hi};
    }
    static I load_unsigned(const uint8_t* p) {
        const Rows a = load_rows(p);
        return {_mm256_cvtepu8_epi32(a), _mm256_cvtepu8_epi32(_mm_srli_si128(a, 8))};
    }
    template <int from, int to, uint32_t mask>
    static __m256i bits(__m256i a) {
        const __m256i low =
            _mm256_and_si256(_mm256_srli_epi32(a, from), _mm256_set1_epi32(static_cast<int>(mask)));
        return _mm256_slli_epi32(low, to);
    }
    template <int from, int to, uint32_t mask>
    static I bits(I a) {
        return {bits<from, to, mask>(a.lo), bits<from, to, mask>(a.hi)};
    }
    static I either(I a, I b) { return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)}; }
    static I exclusive(I a, I b) { return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)}; }
    static Bytes as_bytes(I a) { return {a.lo, a.hi}; }
    static Bytes gather(const uint32_t* table, I indices) {
        alignas(32) uint32_t at[16];
        _mm256_store_si256(reinterpret_cast<__m256i*>(at), indices.lo);
        _mm256_store_si256(reinterpret_cast<__m256i*>(at + 8), indices.hi);
        return {_mm256_set_m128i(four_words(table, at + 4), four_words(table, at)),
                _mm256_set_m128i(four_words(table, at + 12), four_words(table, at + 8))};
    }
    static I zero_int() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }
    static void store_int16(int16_t* p, I a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                            _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8));
    }
    static I load_pairs(const int16_t* p) {
        const __m256i* at = reinterpret_cast<const __m256i*>(p);
        return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
    }
    static I load_pairs(const int8_t* p) {
        const __m128i* at = reinterpret_cast<const __m128i*>(p);
        return {_mm256_cvtepi8_epi16(_mm_loadu_si128(at)), _mm256_cvtepi8_epi16(_mm_loadu_si128(at + 1))};
    }
    static I add_products(I sum, I a, const int16_t* two) {
        const __m256i both = broadcast(two);
        // Inline assembly, which GCC can neither delay nor move to another register: it would compute all
        // products before adding any, and spill.
        asm("vpaddd %1, %0, %0" : "+x"(sum.lo) : "x"(_mm256_madd_epi16(a.lo, both)));
        asm("vpaddd %1, %0, %0" : "+x"(sum.hi) : "x"(_mm256_madd_epi16(a.hi, both)));
        return sum;
    }
    static void store_int8(int8_t* p, I a) {
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
        const __m128i bytes =
            _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
    }

    static Bytes load_bytes(const uint8_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
    }
    static void store_bytes(uint8_t* p, Bytes a) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), a.hi);
    }
    template <int from, int to, int mask>
    static __m256i field(__m256i a) {
        if constexpr (from > to) a = _mm256_srli_epi16(a, from - to);
        if constexpr (from < to) a = _mm256_slli_epi16(a, to - from);
        return _mm256_and_si256(a, _mm256_set1_epi8(mask));
    }
    template <int from, int to, int mask>
    static Bytes field(Bytes a) {
        return {field<from, to, mask>(a.lo), field<from, to, mask>(a.hi)};
    }
    template <int from, int to, int mask>
    static Bytes merge(Bytes base, Bytes a) {
        return {_mm256_or_si256(base.lo, field<from, to, mask>(a.lo)),
                _mm256_or_si256(base.hi, field<from, to, mask>(a.hi))};
    }
    static Bytes look_up(const uint8_t* table, Bytes a) {
        const __m256i t = _mm256_broadcastsi128_si256(load_rows(table));
        return {_mm256_shuffle_epi8(t, a.lo), _mm256_shuffle_epi8(t, a.hi)};
    }
    // Multiplies even and odd bytes separately, each in the high byte of 16 bits for the second product.
    static __m256i ternary_digits(__m256i a, __m256i power) {
        const __m256i high = _mm256_set1_epi16(static_cast<short>(0xff00)), three = _mm256_set1_epi16(3);
        const __m256i even = _mm256_slli_epi16(_mm256_mullo_epi16(a, power), 8);
        const __m256i odd = _mm256_mullo_epi16(_mm256_and_si256(a, high), power);
        return _mm256_or_si256(_mm256_mulhi_epu16(even, three),
                               _mm256_slli_epi16(_mm256_mulhi_epu16(odd, three), 8));
    }
    static Bytes ternary_digits(Bytes a, uint8_t power) {
        const __m256i both = _mm256_set1_epi16(power);
        return {ternary_digits(a.lo, both), ternary_digits(a.hi, both)};
    }
    template <int j>
    static I column(Bytes a) {
        const __m256i mask = _mm256_set1_epi32(255);
        return {_mm256_and_si256(_mm256_srli_epi32(a.lo, 8 * j), mask),
                _mm256_and_si256(_mm256_srli_epi32(a.hi, 8 * j), mask)};
    }

    static __m256i broadcast(const int8_t* a) {
        int32_t four;
        __builtin_memcpy(&four, a, 4);
        return _mm256_set1_epi32(four);
    }
    static __m256i widen_pairs(__m256i pairs) { return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)); }

    static I widen(Rows a) { return {_mm256_cvtepi8_epi32(a), _mm256_cvtepi8_epi32(_mm_srli_si128(a, 8))}; }
    // Below 2, where a number is denormal, the second pattern is the larger one.
    static __m256 powers_of_two(__m256i e) {
        const __m256i one = _mm256_set1_epi32(1);
        return _mm256_castsi256_ps(_mm256_max_epi32(_mm256_slli_epi32(_mm256_sub_epi32(e, one), 23),
                                                    _mm256_slli_epi32(_mm256_add_epi32(e, one), 21)));
    }
    static F powers_of_two(Rows a) {
        return {powers_of_two(_mm256_cvtepu8_epi32(a)),
                powers_of_two(_mm256_cvtepu8_epi32(_mm_srli_si128(a, 8)))};
    }
    static F load_e4m3(const uint8_t* p) {
        const __m128i numbers = load_rows(p), none = _mm_setzero_si128();
        return {_mm256_cvtph_ps(_mm_srli_epi16(_mm_unpacklo_epi8(none, numbers), 1)),
                _mm256_cvtph_ps(_mm_srli_epi16(_mm_unpackhi_epi8(none, numbers), 1))};
    }
    static I pairs(Rows a, Rows b) {
        return {_mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b)), _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b))};
    }
    static __m256i broadcast(const int16_t* two) { return broadcast(reinterpret_cast<const int8_t*>(two)); }
    static I dot_pairs(I a, const int16_t* two) {
        const __m256i both = broadcast(two);
        return {_mm256_madd_epi16(a.lo, both), _mm256_madd_epi16(a.hi, both)};
    }
    static __m256i pair(__m256i a, __m256i b) {
        return _mm256_blend_epi16(a, _mm256_slli_epi32(b, 16), 0xaa);
    }
    static I weighted_sum(I a, I b, I by) {
        return {_mm256_madd_epi16(pair(a.lo, b.lo), by.lo), _mm256_madd_epi16(pair(a.hi, b.hi), by.hi)};
    }

    // A product pair is at most 2 * kMaxCode * 127, so the sum of kRun pairs fits 16 bits: 8 pairs, a full
    // block, for codes below 16. After each run the sum is widened to 32 bits.
    template <int kMaxCode, int kZeroPoint, int kPart>
    struct Dot {
        static constexpr int kRun = 32767 / (2 * kMaxCode * 127);
        __m256i lo, hi;
        I total;
        void start(const int16_t*) {}
        template <int i, int n, int v>
        void add(Bytes w, const int8_t* q) {
            const __m256i four = broadcast(q + 4 * v);
            const __m256i low = _mm256_maddubs_epi16(w.lo, four), high = _mm256_maddubs_epi16(w.hi, four);
            lo = i % kRun == 0 ? low : _mm256_add_epi16(lo, low);
            hi = i % kRun == 0 ? high : _mm256_add_epi16(hi, high);
            asm("" : "+x"(lo), "+x"(hi));  // in order, as in add_products
            if constexpr (i % kRun == kRun - 1 || i == n - 1) {
                const I sum = {widen_pairs(lo), widen_pairs(hi)};
                total = i < kRun ? sum
                                 : I{_mm256_add_epi32(total.lo, sum.lo), _mm256_add_epi32(total.hi, sum.hi)};
            }
        }
        I finish(const int16_t* half_sums) const {
            if constexpr (kZeroPoint == 0) return total;
            constexpr uint32_t kWeights = (kPart != 1 ? kZeroPoint : 0u) | (kPart != 0 ? kZeroPoint : 0u)
                                                                               << 16;
            const __m256i offset =
                _mm256_madd_epi16(broadcast(half_sums), _mm256_set1_epi32(static_cast<int32_t>(kWeights)));
            return {_mm256_sub_epi32(total.lo, offset), _mm256_sub_epi32(total.hi, offset)};
        }
    };
    // 8-bit codes: |w| times (activation with w's sign); 2 * 128 * 127 = 32,512 fits 16 bits, so nothing
    // saturates.
    template <int kPart>
    struct Dot<255, 128, kPart> {
        I total;
        void start(const int16_t*) { total.lo = total.hi = _mm256_setzero_si256(); }
        static __m256i product(__m256i w, __m256i four) {
            const __m256i is_signed = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
            return widen_pairs(
                _mm256_maddubs_epi16(_mm256_abs_epi8(is_signed), _mm256_sign_epi8(four, is_signed)));
        }
        template <int i, int n, int v>
        void add(Bytes w, const int8_t* q) {
            const __m256i four = broadcast(q + 4 * v);
            total.lo = _mm256_add_epi32(total.lo, product(w.lo, four));
            total.hi = _mm256_add_epi32(total.hi, product(w.hi, four));
        }
        I finish(const int16_t*) const { return total; }
    };
};

}  // namespace zp::avx2
