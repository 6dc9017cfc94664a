// IEEE half and bfloat16 to float and back, in integer arithmetic: exact, round to nearest even.
#pragma once

#include <cstdint>
#include <cstring>

namespace zp {

static inline float bits_to_float(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float half_to_float(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
    const uint32_t exponent = (half >> 10) & 31u;
    const uint32_t mantissa = half & 1023u;
    if (exponent == 31) return bits_to_float(sign | 0x7f800000u | (mantissa << 13));  // infinity or NaN
    if (exponent != 0) return bits_to_float(sign | ((exponent + 112) << 23) | (mantissa << 13));
    const float subnormal = static_cast<float>(mantissa) * 5.9604644775390625e-8f;  // mantissa * 2^-24
    return sign != 0 ? -subnormal : subnormal;
}

static inline uint16_t float_to_half(float value) {
    const uint32_t bits = float_to_bits(value);
    const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return sign | 0x7e00u;               // NaN, quiet
    if (magnitude >= 0x477ff000u) return sign | 0x7c00u;              // rounds to 65536 or more
    if (magnitude < 0x38800000u) {                                    // subnormal: below 2^-14
        const float scaled = bits_to_float(magnitude) * 16777216.0f;  // in units of 2^-24
        const float rounded = (scaled + 8388608.0f) - 8388608.0f;     // nearest even by adding 2^23
        return sign | static_cast<uint16_t>(rounded);
    }
    const uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return sign | static_cast<uint16_t>((rounded - 0x38000000u) >> 13);
}

static inline float bf16_to_float(uint16_t bits) { return bits_to_float(static_cast<uint32_t>(bits) << 16); }

// Numbers of 8 bits for products whose every sum is the same on all processors. Those that multiply bfloat16
// take numbers below 2^-126 for zero, others do not; so a number is first rounded to whole 2^-55 (the sum
// with 1.5 * 2^-32 has no finer bits), and what products of such numbers add up to is never that small.
inline constexpr float kPairFloor = 3.4924596548080444e-10f;
// x * kPairSplit - (x * kPairSplit - x) leaves the first 24 - 16 bits of x (Dekker, "A floating-point
// technique for extending the available precision", 1971). From 2^111 on it is NaN, as infinity is.
inline constexpr float kPairSplit = 65537.0f;

static inline float round_to_pair(float x) {
    const float whole = (x + kPairFloor) - kPairFloor;
    const float scaled = whole * kPairSplit;
    return scaled - (scaled - whole);
}

// The upper half of a float's bits: exact for what round_to_pair gives, and for NaN.
static inline uint16_t upper_bits(float x) { return static_cast<uint16_t>(float_to_bits(x) >> 16); }

}  // namespace zp
