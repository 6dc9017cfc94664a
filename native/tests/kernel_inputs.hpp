// Inputs for kernel tests: seeded random numbers of several kinds, and comparison bit for bit.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "formats/half.hpp"
#include "kernels/kernels.hpp"

namespace zp::test {

// The kernel tables that this machine can run, except the scalar one.
inline std::vector<const Kernels*> fast_kernels() {
    std::vector<const Kernels*> tables;
    for (const char* isa : kInstructionSets)
        if (const Kernels* k = kernels_for(isa); k != nullptr && k != kernels_for("scalar"))
            tables.push_back(k);
    return tables;
}

// The scalar reference and fast_kernels().
inline std::vector<const Kernels*> all_kernels() {
    std::vector<const Kernels*> tables = fast_kernels();
    tables.push_back(kernels_for("scalar"));
    return tables;
}

// Distributions of input numbers. kTies: multiples of 1/2 up to 127, many of them exactly 127.
enum class Kind { kUsual, kWide, kTies, kZeros, kTiny, kLarge };
inline constexpr Kind kKinds[] = {Kind::kUsual, Kind::kWide, Kind::kTies,
                                  Kind::kZeros, Kind::kTiny, Kind::kLarge};

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}
    uint32_t bits() { return static_cast<uint32_t>(engine_()); }
    int below(int n) { return static_cast<int>(bits() % static_cast<uint32_t>(n)); }
    float uniform() { return static_cast<float>(bits() >> 8) * (1.0f / 8388608.0f) - 1.0f; }  // [-1, 1)

    float number(Kind kind) {
        switch (kind) {
            case Kind::kUsual:
                return uniform();
            case Kind::kWide:
                return std::ldexp(uniform(), below(40) - 20);
            case Kind::kTies:
                return below(8) == 0 ? 127.0f : static_cast<float>(below(255) - 127) * 0.5f;
            case Kind::kZeros:
                return below(2) == 0 ? 0.0f : -0.0f;
            case Kind::kTiny:
                return bits_to_float(bits() & 0x800fffff);  // denormal
            case Kind::kLarge:
                return std::ldexp(uniform(), 100);
        }
        return 0.0f;
    }
    std::vector<float> numbers(size_t n, Kind kind) {
        std::vector<float> out(n);
        for (float& x : out) x = number(kind);
        return out;
    }
    // A finite half: one in five is denormal or zero, the others are of ordinary size.
    uint16_t half() {
        const auto sign_and_fraction = static_cast<uint16_t>(bits() & 0x83ff);
        return below(5) == 0 ? sign_and_fraction
                             : static_cast<uint16_t>(sign_and_fraction | (8 + below(12)) << 10);
    }

private:
    std::mt19937 engine_;
};

// Offsets of the halves in a block of the file.
inline std::vector<size_t> half_offsets(Format format) {
    switch (format) {
        case Format::kF32:
        case Format::kBF16:
        case Format::kMXFP4:
        case Format::kNVFP4:
            return {};
        case Format::kQ4_1:
        case Format::kQ5_1:
        case Format::kQ4_K:
        case Format::kQ5_K:
            return {0, 2};
        case Format::kQ2_K:
            return {80, 82};
        case Format::kQ3_K:
            return {108};
        case Format::kQ6_K:
            return {208};
        case Format::kIQ1_M:
            return {};
        case Format::kTQ1_0:
            return {52};
        case Format::kTQ2_0:
            return {64};
        default:
            return {0};
    }
}

// Equal bit for bit; all NaNs are equal, because the surviving payload depends on the processor.
inline bool is_same(float a, float b) {
    return float_to_bits(a) == float_to_bits(b) || (std::isnan(a) && std::isnan(b));
}

// Compares `got` with the reference's `want` and reports the first difference with the name of the case.
inline void expect_same(const std::vector<float>& want, const std::vector<float>& got,
                        const std::string& what) {
    for (size_t i = 0; i < want.size(); ++i) {
        if (is_same(want[i], got[i])) continue;
        char text[96];
        std::snprintf(text, sizeof text, ": item %zu is %a; scalar gives %a", i, static_cast<double>(got[i]),
                      static_cast<double>(want[i]));
        return fail("kernels", static_cast<int>(i), what + text);
    }
}

}  // namespace zp::test
