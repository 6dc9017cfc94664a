// Half precision: round trips of all values, and rounding compared with double arithmetic.
#include "formats/half.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include "check.hpp"

using namespace zp;

namespace {

constexpr uint16_t kInfinity = 0x7c00;

bool is_nan(uint16_t half) { return (half & 0x7fff) > kInfinity; }

// The value of a finite half, by the definition in IEEE 754.
double value_of(uint16_t half) {
    const int exponent = (half >> 10) & 31;
    const double magnitude =
        exponent == 0 ? std::ldexp(half & 1023, -24) : std::ldexp(1024 + (half & 1023), exponent - 25);
    return half & 0x8000 ? -magnitude : magnitude;
}

// The nearest half, by binary search; ties go to the even pattern.
uint16_t nearest_half(float value) {
    const uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return sign | 0x7e00;
    const double magnitude = std::fabs(static_cast<double>(value));
    if (magnitude >= 65520.0) return sign | kInfinity;  // halfway from 65504 to what would be 65536
    uint16_t low = 0, high = 0x7bff;
    while (low + 1 < high) {
        const auto middle = static_cast<uint16_t>((low + high) / 2);
        (value_of(middle) <= magnitude ? low : high) = middle;
    }
    if (value_of(high) <= magnitude) return sign | high;
    const double below = magnitude - value_of(low), above = value_of(high) - magnitude;
    const bool takes_low = below < above || (below == above && low % 2 == 0);
    return sign | (takes_low ? low : high);
}

}  // namespace

ZP_TEST(half_round_trips_every_value) {
    int n_wrong = 0;
    for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
        const auto half = static_cast<uint16_t>(bits);
        const float value = half_to_float(half);
        if (is_nan(half)) {
            n_wrong += !std::isnan(value) || !is_nan(float_to_half(value));
        } else if ((half & 0x7fff) == kInfinity) {
            n_wrong += !std::isinf(value) || float_to_half(value) != half;
        } else {
            n_wrong += static_cast<double>(value) != value_of(half) || float_to_half(value) != half;
        }
    }
    ZP_EQ(n_wrong, 0);
}

ZP_TEST(half_rounds_to_nearest_even) {
    // Between adjacent halves: the tie and the floats next to it.
    int n_wrong = 0;
    for (uint32_t bits = 0; bits < 0x7bff; ++bits) {
        const double middle =
            (value_of(static_cast<uint16_t>(bits)) + value_of(static_cast<uint16_t>(bits + 1))) / 2;
        const auto tie = static_cast<float>(middle);  // exact: 12 significant bits
        for (const float x : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e9f)})
            n_wrong += float_to_half(x) != nearest_half(x) || float_to_half(-x) != nearest_half(-x);
    }
    ZP_EQ(n_wrong, 0);
}

ZP_TEST(half_rounds_any_float) {
    std::mt19937 random(1);
    int n_wrong = 0;
    for (int i = 0; i < 500000; ++i) {
        // Alternate between arbitrary bit patterns and the range of a half.
        uint32_t bits = random();
        if (i % 2 == 0) bits = (bits & 0x807fffff) | ((96 + random() % 50) << 23);
        const float x = bits_to_float(bits);
        const uint16_t half = float_to_half(x);
        n_wrong += std::isnan(x) ? !is_nan(half) : half != nearest_half(x);
    }
    ZP_EQ(n_wrong, 0);
}

ZP_TEST(half_at_the_ends_of_the_range) {
    ZP_EQ(float_to_half(65504.0f), 0x7bff);
    ZP_EQ(float_to_half(65519.996f), 0x7bff);
    ZP_EQ(float_to_half(65520.0f), 0x7c00);
    ZP_EQ(float_to_half(-1e30f), 0xfc00);
    ZP_EQ(float_to_half(std::ldexp(1.0f, -24)), 1);
    ZP_EQ(float_to_half(std::ldexp(1.0f, -25)), 0);  // a tie, to even
    ZP_EQ(float_to_half(std::nextafter(std::ldexp(1.0f, -25), 1.0f)), 1);
    ZP_EQ(float_to_half(std::numeric_limits<float>::denorm_min()), 0);
    ZP_EQ(float_to_half(-0.0f), 0x8000);
}

ZP_TEST(half_bf16_is_the_upper_half_of_a_float) {
    for (uint32_t bits = 0; bits <= 0xffff; ++bits)
        if (float_to_bits(bf16_to_float(static_cast<uint16_t>(bits))) != bits << 16) return ZP_CHECK(false);
}
