// Products of pairs of bfloat16 where the processor has none of its own: a pair is two vectors of floats, and
// a product two fused multiply-adds, the second number's first. Products of numbers of 8 bits are exact in
// float, so that fused or not makes no difference (kernels/avx512_bf16/lanes.hpp).
#pragma once

#include <cstdint>

namespace zp::shared {

template <class L>
struct SplitPairs {
    struct PairFactor {
        float first, second;
    };

    // 32 numbers that follow each other, as 16 pairs that others are multiplied with.
    template <class F>
    static void store_factors(PairFactor* p, F a, F b) {
        L::store(reinterpret_cast<float*>(p), a);
        L::store(reinterpret_cast<float*>(p + 8), b);
    }
    // sums[r] += 16 pairs at p times by[r * apart]. Where has_second is false, the second of each does not
    // count.
    template <int R, bool has_second, class F>
    static void add_pairs(const uint16_t* p, const PairFactor* by, int apart, F* sums) {
        if constexpr (has_second) {
            const F second = L::load_seconds(p);
            for (int r = 0; r < R; ++r) sums[r] = L::fma(second, L::set1(by[r * apart].second), sums[r]);
        }
        const F first = L::load_firsts(p);
        for (int r = 0; r < R; ++r) sums[r] = L::fma(first, L::set1(by[r * apart].first), sums[r]);
    }
};

}  // namespace zp::shared
