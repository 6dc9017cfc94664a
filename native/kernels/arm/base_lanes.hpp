// Sixteen lanes in four Advanced SIMD registers: everything that the two ARM sets share, that is all but the
// int8 products. Bit for bit equal to scalar/lanes.hpp.
#pragma once

#include <arm_neon.h>

#include <cstdint>

namespace zp::arm {

template <class T>
struct Four {
    T a, b, c, d;
};

// Lanes is the class that derives from it: each instruction set must compile its own copy (see
// neon_dotprod/kernels.cpp).
template <class Lanes>
struct BaseLanes {
    using F = Four<float32x4_t>;
    using I = Four<int32x4_t>;
    using Bytes = Four<uint8x16_t>;
    using Rows = int8x16_t;

    // Applies op to each register of the operands.
    template <class Op, class... T>
    static auto map(Op op, const Four<T>&... x) {
        return Four<decltype(op(x.a...))>{op(x.a...), op(x.b...), op(x.c...), op(x.d...)};
    }
    template <class T>
    static Four<T> all(T x) {
        return {x, x, x, x};
    }

    static F zero() { return set1(0.0f); }
    static F set1(float x) { return all(vdupq_n_f32(x)); }
    static F set1_pinned(float x) { return set1(x); }
    static F load(const float* p) {
        return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
    }
    static void store(float* p, F a) {
        vst1q_f32(p, a.a);
        vst1q_f32(p + 4, a.b);
        vst1q_f32(p + 8, a.c);
        vst1q_f32(p + 12, a.d);
    }
    static F load_half(const uint16_t* p) {
        const float16x8_t low = vreinterpretq_f16_u16(vld1q_u16(p));
        const float16x8_t high = vreinterpretq_f16_u16(vld1q_u16(p + 8));
        return {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                vcvt_high_f32_f16(high)};
    }
    // Relies on the default rounding mode, to nearest even, which nothing in the process may change.
    static void store_half(uint16_t* p, F a) {
        vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.a), a.b)));
        vst1q_u16(p + 8, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(a.c), a.d)));
    }
    static F load_bf16(const uint16_t* p) {
        const uint16x8_t none = vdupq_n_u16(0), low = vld1q_u16(p), high = vld1q_u16(p + 8);
        return {vreinterpretq_f32_u16(vzip1q_u16(none, low)), vreinterpretq_f32_u16(vzip2q_u16(none, low)),
                vreinterpretq_f32_u16(vzip1q_u16(none, high)), vreinterpretq_f32_u16(vzip2q_u16(none, high))};
    }

    // By comparison, because FMAX and FMIN return NaN if either operand is NaN, and order signed zeros.
    static float32x4_t greater(float32x4_t p, float32x4_t q) { return vbslq_f32(vcgtq_f32(p, q), p, q); }
    static float32x4_t lesser(float32x4_t p, float32x4_t q) { return vbslq_f32(vcltq_f32(p, q), p, q); }
    static F add(F a, F b) {
        return map([](auto p, auto q) { return vaddq_f32(p, q); }, a, b);
    }
    static F sub(F a, F b) {
        return map([](auto p, auto q) { return vsubq_f32(p, q); }, a, b);
    }
    static F mul(F a, F b) {
        return map([](auto p, auto q) { return vmulq_f32(p, q); }, a, b);
    }
    static F div(F a, F b) {
        return map([](auto p, auto q) { return vdivq_f32(p, q); }, a, b);
    }
    static F max(F a, F b) {
        return map([](auto p, auto q) { return greater(p, q); }, a, b);
    }
    static F min(F a, F b) {
        return map([](auto p, auto q) { return lesser(p, q); }, a, b);
    }
    static F fma(F a, F b, F c) {
        return map([](auto p, auto q, auto sum) { return vfmaq_f32(sum, p, q); }, a, b, c);
    }
    static F fnma(F a, F b, F c) {
        return map([](auto p, auto q, auto sum) { return vfmsq_f32(sum, p, q); }, a, b, c);
    }
    static F abs(F a) {
        return map([](auto p) { return vabsq_f32(p); }, a);
    }
    static F copy_sign(F magnitude, F sign) {
        return map([](auto p, auto q) { return vbslq_f32(vdupq_n_u32(0x80000000u), q, p); }, magnitude, sign);
    }
    static F drop_first(F a, int n, float fill) { return blend(a, set1(fill), n); }
    static F keep_first(F a, int n, float fill) { return blend(set1(fill), a, n); }
    // The first n lanes from `first`, the others from `rest`.
    static F blend(F rest, F first, int n) {
        constexpr int32_t kIndex[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
        const int32x4_t count = vdupq_n_s32(n);
        const I index = {vld1q_s32(kIndex), vld1q_s32(kIndex + 4), vld1q_s32(kIndex + 8),
                         vld1q_s32(kIndex + 12)};
        return map([count](auto at, auto before,
                           auto after) { return vbslq_f32(vcltq_s32(at, count), before, after); },
                   index, first, rest);
    }
    static float reduce_add(F a) {
        const float32x4_t four = vaddq_f32(vaddq_f32(a.a, a.c), vaddq_f32(a.b, a.d));
        return vpadds_f32(vadd_f32(vget_low_f32(four), vget_high_f32(four)));
    }
    static float reduce_max(F a) {
        const float32x4_t four = greater(greater(a.a, a.c), greater(a.b, a.d));
        const float32x4_t two = greater(four, vextq_f32(four, four, 2));
        return vgetq_lane_f32(greater(two, vextq_f32(two, two, 1)), 0);
    }

    // Compared as integers: NaN is above all other patterns, whereas float comparisons would drop it.
    static F larger_magnitudes(F a, F b) {
        return map(
            [](auto p, auto q) {
                const uint32x4_t x = vreinterpretq_u32_f32(vabsq_f32(p));
                return vreinterpretq_f32_u32(vmaxq_u32(x, vreinterpretq_u32_f32(vabsq_f32(q))));
            },
            a, b);
    }
    static float largest_magnitude(F a) {
        const auto four = map([](auto p) { return vreinterpretq_u32_f32(p); }, a);
        const uint32_t largest = vmaxvq_u32(vmaxq_u32(vmaxq_u32(four.a, four.b), vmaxq_u32(four.c, four.d)));
        float peak;
        __builtin_memcpy(&peak, &largest, sizeof peak);
        return peak;
    }

    static I round_to_int(F a) {
        return map([](auto p) { return vcvtnq_s32_f32(p); }, a);
    }
    static F to_float(I a) {
        return map([](auto p) { return vcvtq_f32_s32(p); }, a);
    }
    static F exp2_int(I n) {
        return map(
            [](auto p) { return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(p, vdupq_n_s32(127)), 23)); }, n);
    }
    static F low_bits_to_exponent(F a) {
        return map([](auto p) { return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(p), 23)); },
                   a);
    }
    static int32_t reduce_add(I a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.a, a.b), vaddq_s32(a.c, a.d))); }
    static I load_words(const uint8_t* p) {
        return map([](auto q) { return vreinterpretq_s32_u8(q); }, load_bytes(p));
    }
    static I load_unsigned(const uint8_t* p) { return widen_unsigned(vld1q_u8(p)); }
    static I widen_unsigned(uint8x16_t bytes) {
        const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
        return {vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(low))),
                vreinterpretq_s32_u32(vmovl_high_u16(low)),
                vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(high))),
                vreinterpretq_s32_u32(vmovl_high_u16(high))};
    }
    template <int from, int to, uint32_t mask>
    static I bits(I a) {
        return map(
            [](auto p) {
                uint32x4_t word = vreinterpretq_u32_s32(p);
                if constexpr (from > 0) word = vshrq_n_u32(word, from);
                return vreinterpretq_s32_u32(vshlq_n_u32(vandq_u32(word, vdupq_n_u32(mask)), to));
            },
            a);
    }
    static I either(I a, I b) {
        return map([](auto p, auto q) { return vorrq_s32(p, q); }, a, b);
    }
    static I exclusive(I a, I b) {
        return map([](auto p, auto q) { return veorq_s32(p, q); }, a, b);
    }
    static Bytes as_bytes(I a) {
        return map([](auto p) { return vreinterpretq_u8_s32(p); }, a);
    }
    static Bytes gather(const uint32_t* table, I indices) {
        return map(
            [table](auto p) {
                uint32x4_t words = vdupq_n_u32(table[vgetq_lane_s32(p, 0)]);
                words = vld1q_lane_u32(table + vgetq_lane_s32(p, 1), words, 1);
                words = vld1q_lane_u32(table + vgetq_lane_s32(p, 2), words, 2);
                words = vld1q_lane_u32(table + vgetq_lane_s32(p, 3), words, 3);
                return vreinterpretq_u8_u32(words);
            },
            indices);
    }
    static I zero_int() { return all(vdupq_n_s32(0)); }
    static void store_int16(int16_t* p, I a) {
        vst1q_s16(p, vmovn_high_s32(vmovn_s32(a.a), a.b));
        vst1q_s16(p + 8, vmovn_high_s32(vmovn_s32(a.c), a.d));
    }
    // The first number of each pair, and the second.
    struct Pairs {
        int16x8x2_t low, high;
    };
    static Pairs load_pairs(const int16_t* p) { return {vld2q_s16(p), vld2q_s16(p + 16)}; }
    static Pairs load_pairs(const int8_t* p) {
        const int8x16x2_t bytes = vld2q_s8(p);
        const int8x16_t first = bytes.val[0], second = bytes.val[1];
        return {{vmovl_s8(vget_low_s8(first)), vmovl_s8(vget_low_s8(second))},
                {vmovl_high_s8(first), vmovl_high_s8(second)}};
    }
    static I add_products(I sum, const Pairs& a, const int16_t* two) {
        for (int i = 0; i < 2; ++i) {
            sum.a = vmlal_n_s16(sum.a, vget_low_s16(a.low.val[i]), two[i]);
            sum.b = vmlal_high_n_s16(sum.b, a.low.val[i], two[i]);
            sum.c = vmlal_n_s16(sum.c, vget_low_s16(a.high.val[i]), two[i]);
            sum.d = vmlal_high_n_s16(sum.d, a.high.val[i], two[i]);
        }
        return sum;
    }
    static void store_int8(int8_t* p, I a) {
        const int16x8_t low = vmovn_high_s32(vmovn_s32(a.a), a.b);
        const int16x8_t high = vmovn_high_s32(vmovn_s32(a.c), a.d);
        vst1q_s8(p, vmovn_high_s16(vmovn_s16(low), high));
    }

    static Bytes load_bytes(const uint8_t* p) {
        return {vld1q_u8(p), vld1q_u8(p + 16), vld1q_u8(p + 32), vld1q_u8(p + 48)};
    }
    static void store_bytes(uint8_t* p, Bytes a) {
        vst1q_u8(p, a.a);
        vst1q_u8(p + 16, a.b);
        vst1q_u8(p + 32, a.c);
        vst1q_u8(p + 48, a.d);
    }
    // Shifts stay within a byte, so that a mask of all that is left need not be applied.
    template <int from, int to, int mask>
    static uint8x16_t field(uint8x16_t a) {
        constexpr int kLeft = from > to ? 255 >> (from - to) : 255 << (to - from) & 255;
        if constexpr (from > to) a = vshrq_n_u8(a, from - to);
        if constexpr (from < to) a = vshlq_n_u8(a, to - from);
        if constexpr ((kLeft & ~mask) == 0) return a;
        return vandq_u8(a, vdupq_n_u8(mask));
    }
    template <int from, int to, int mask>
    static Bytes field(Bytes a) {
        return map([](auto p) { return field<from, to, mask>(p); }, a);
    }
    template <int from, int to, int mask>
    static Bytes merge(Bytes base, Bytes a) {
        return map([](auto p, auto q) { return vorrq_u8(p, field<from, to, mask>(q)); }, base, a);
    }
    static Bytes look_up(const uint8_t* table, Bytes a) {
        const uint8x16_t t = vld1q_u8(table);
        return map([t](auto p) { return vqtbl1q_u8(t, p); }, a);
    }
    // Three quarters, in halves, has the digit in its upper two bits.
    static Bytes ternary_digits(Bytes a, uint8_t power) {
        const uint8x16_t by = vdupq_n_u8(power);
        return map(
            [by](auto p) {
                const uint8x16_t x = vmulq_u8(p, by);
                return vshrq_n_u8(vhaddq_u8(x, vshrq_n_u8(x, 1)), 6);
            },
            a);
    }
    template <int j>
    static I column(Bytes a) {
        return map(
            [](auto p) {
                uint32x4_t code = vreinterpretq_u32_u8(p);
                if constexpr (j > 0) code = vshrq_n_u32(code, 8 * j);
                if constexpr (j < 3) code = vandq_u32(code, vdupq_n_u32(255));
                return vreinterpretq_s32_u32(code);
            },
            a);
    }

    static Rows load_rows(const uint8_t* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
    static Rows low_nibbles(Rows a) { return vandq_s8(a, vdupq_n_s8(15)); }
    static Rows high_nibbles(Rows a) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(a), 4)); }
    static Rows subtract_32(Rows a) { return vsubq_s8(a, vdupq_n_s8(32)); }
    static void split_six_bits(const uint8_t* p, Rows& first, Rows& second) {
        const Rows lower = load_rows(p);
        const uint8x8_t packed = vld1_u8(p + 16);
        const int8x16_t upper = vreinterpretq_s8_u8(vcombine_u8(packed, vshr_n_u8(packed, 4)));
        const int8x16_t mask = vdupq_n_s8(0x30);
        first = vorrq_s8(low_nibbles(lower), vandq_s8(vshlq_n_s8(upper, 4), mask));
        second = vorrq_s8(high_nibbles(lower), vandq_s8(vshlq_n_s8(upper, 2), mask));
    }
    static I widen(Rows a) {
        const int16x8_t low = vmovl_s8(vget_low_s8(a)), high = vmovl_high_s8(a);
        return {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high)};
    }
    // Below 2, where a number is denormal, the second pattern is the larger one.
    static F powers_of_two(Rows a) {
        return map(
            [](auto p) {
                const int32x4_t one = vdupq_n_s32(1);
                return vreinterpretq_f32_s32(
                    vmaxq_s32(vshlq_n_s32(vsubq_s32(p, one), 23), vshlq_n_s32(vaddq_s32(p, one), 21)));
            },
            widen_unsigned(vreinterpretq_u8_s8(a)));
    }
    static F load_e4m3(const uint8_t* p) {
        const uint8x16_t numbers = vld1q_u8(p);
        const float16x8_t low = vreinterpretq_f16_u16(vshll_n_u8(vget_low_u8(numbers), 7));
        const float16x8_t high = vreinterpretq_f16_u16(vshll_high_n_u8(numbers, 7));
        return {vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                vcvt_high_f32_f16(high)};
    }
    static I pairs(Rows a, Rows b) {
        const int8x16_t low = vzip1q_s8(a, b), high = vzip2q_s8(a, b);
        return {vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(low))), vreinterpretq_s32_s16(vmovl_high_s8(low)),
                vreinterpretq_s32_s16(vmovl_s8(vget_low_s8(high))),
                vreinterpretq_s32_s16(vmovl_high_s8(high))};
    }
    // Multiplies int16 and adds adjacent products.
    static int32x4_t add_products(int16x8_t p, int16x8_t q) {
        return vpaddq_s32(vmull_s16(vget_low_s16(p), vget_low_s16(q)), vmull_high_s16(p, q));
    }
    static I dot_pairs(I a, const int16_t* two) {
        int32_t both;
        __builtin_memcpy(&both, two, sizeof both);
        const int16x8_t by = vreinterpretq_s16_s32(vdupq_n_s32(both));
        return map([by](auto p) { return add_products(vreinterpretq_s16_s32(p), by); }, a);
    }
    static I weighted_sum(I a, I b, I by) {
        return map(
            [](auto p, auto q, auto pair) {
                const int16x8_t both = vtrn1q_s16(vreinterpretq_s16_s32(p), vreinterpretq_s16_s32(q));
                return add_products(both, vreinterpretq_s16_s32(pair));
            },
            a, b, by);
    }

    // Codes as signed bytes: 8-bit codes become code - 128, the value that they represent.
    template <int kMaxCode>
    static Four<int8x16_t> signed_codes(Bytes a) {
        return map(
            [](auto p) { return vreinterpretq_s8_u8(kMaxCode < 128 ? p : veorq_u8(p, vdupq_n_u8(128))); }, a);
    }
    // The initial sum for products of such codes: it subtracts the zero point's contribution.
    template <int kMaxCode, int kZeroPoint, int kPart>
    static I first_sums(const int16_t* half_sums) {
        static_assert(kMaxCode < 128 || kZeroPoint == 128);
        if constexpr (kMaxCode > 127 || kZeroPoint == 0) return all(vdupq_n_s32(0));
        const int sum = (kPart != 1 ? half_sums[0] : 0) + (kPart != 0 ? half_sums[1] : 0);
        return all(vdupq_n_s32(-kZeroPoint * sum));
    }
};

}  // namespace zp::arm
