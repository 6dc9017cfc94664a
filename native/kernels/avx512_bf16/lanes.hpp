// AVX-512 with products of bfloat16 pairs. VDPBF16PS adds the second product of a pair and then the first,
// each rounded to nearest even, and takes numbers below 2^-126 for zero (Intel SDM, volume 2): the same bits
// as shared/pairs.hpp for numbers that were rounded as half.hpp's round_to_pair does.
#pragma once

#include "kernels/x86/avx512_lanes.hpp"

namespace zp::avx512_bf16 {

struct Lanes : x86::Avx512Lanes<Lanes> {
    using PairFactor = uint32_t;

    static void store_factors(PairFactor* p, F a, F b) {
        _mm512_storeu_si512(p, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
    }
    template <int R, bool has_second, class T>
    static void add_pairs(const uint16_t* p, const PairFactor* by, int apart, T* sums) {
        __m512i pairs = _mm512_loadu_si512(p);
        if constexpr (!has_second) pairs = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff));
        for (int r = 0; r < R; ++r) {
            const __m512i both = _mm512_set1_epi32(static_cast<int32_t>(by[r * apart]));
            sums[r] = _mm512_dpbf16_ps(sums[r], reinterpret_cast<__m512bh>(pairs),
                                       reinterpret_cast<__m512bh>(both));
        }
    }
};

}  // namespace zp::avx512_bf16
