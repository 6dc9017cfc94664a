// The scales of 16 rows as bytes of one register: the part of the lanes that AVX2 and AVX-512 share.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace zp::x86 {

// Lanes is the class that derives from it: each instruction set must compile its own copy (see
// avx512/kernels.cpp).
template <class Lanes>
struct RowBytes {
    using Rows = __m128i;

    static Rows load_rows(const uint8_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
    static Rows low_nibbles(Rows a) { return _mm_and_si128(a, _mm_set1_epi8(15)); }
    static Rows high_nibbles(Rows a) { return low_nibbles(_mm_srli_epi16(a, 4)); }
    // The words of a table at four indices. Loading them one by one is faster than the gather instructions on
    // AMD's processors, and on Intel's with the microcode that closes a leak of gathers.
    static __m128i four_words(const uint32_t* table, const uint32_t* indices) {
        const auto word = [&](int i) { return static_cast<int>(table[indices[i]]); };
        __m128i words = _mm_cvtsi32_si128(word(0));
        words = _mm_insert_epi32(words, word(1), 1);
        words = _mm_insert_epi32(words, word(2), 2);
        return _mm_insert_epi32(words, word(3), 3);
    }
    static Rows subtract_32(Rows a) { return _mm_sub_epi8(a, _mm_set1_epi8(32)); }
    static void split_six_bits(const uint8_t* p, Rows& first, Rows& second) {
        const __m128i lower = load_rows(p);
        const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 16));
        const __m128i upper = _mm_unpacklo_epi64(packed, _mm_srli_epi16(packed, 4));
        const __m128i mask = _mm_set1_epi8(0x30);
        first = _mm_or_si128(low_nibbles(lower), _mm_and_si128(_mm_slli_epi16(upper, 4), mask));
        second = _mm_or_si128(high_nibbles(lower), _mm_and_si128(_mm_slli_epi16(upper, 2), mask));
    }
};

}  // namespace zp::x86
