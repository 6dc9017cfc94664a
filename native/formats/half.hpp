// Conversions between IEEE half, bfloat16 and float in integer arithmetic; narrowing rounds to nearest even.
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

}  // namespace zp
