// Lanes with the interface of lanes.hpp but a single row, so that unpacking one row of a packed matrix uses
// the same codecs as the products do.
#pragma once

#include <cstdint>
#include <cstring>

#include "formats/half.hpp"

namespace zp::shared {

template <int lane>
struct OneLane {
    using F = float;
    using I = int32_t;
    using Bytes = uint32_t;  // four adjacent columns
    using Rows = int8_t;

    static F zero() { return 0.0f; }
    static F set1(float x) { return x; }
    static F add(F a, F b) { return a + b; }
    static F sub(F a, F b) { return a - b; }
    static F mul(F a, F b) { return a * b; }
    static F to_float(I a) { return static_cast<float>(a); }
    static F load_half(const uint16_t* p) {
        uint16_t bits;
        std::memcpy(&bits, p + lane, 2);
        return half_to_float(bits);
    }

    static Bytes load_bytes(const uint8_t* p) {
        Bytes four;
        std::memcpy(&four, p + 4 * lane, 4);
        return four;
    }
    template <int from, int to, int mask>
    static Bytes field(Bytes a) {
        constexpr uint32_t kMask = static_cast<uint32_t>(mask) * 0x01010101u;
        if constexpr (from >= to) return (a >> (from - to)) & kMask;
        return (a << ((to - from) & 31)) & kMask;
    }
    template <int from, int to, int mask>
    static Bytes merge(Bytes base, Bytes a) {
        return base | field<from, to, mask>(a);
    }
    static Bytes look_up(const uint8_t* table, Bytes a) {
        Bytes levels = 0;
        for (int shift = 0; shift < 32; shift += 8)
            levels |= static_cast<uint32_t>(table[a >> shift & 15]) << shift;
        return levels;
    }
    static Bytes ternary_digits(Bytes a, uint8_t power) {
        Bytes digits = 0;
        for (int shift = 0; shift < 32; shift += 8)
            digits |= static_cast<uint32_t>(static_cast<uint8_t>((a >> shift & 255) * power) * 3 >> 8)
                      << shift;
        return digits;
    }
    template <int j>
    static I column(Bytes a) {
        return static_cast<I>(a >> 8 * j & 255);
    }

    static I load_words(const uint8_t* p) { return static_cast<I>(load_bytes(p)); }
    static I load_unsigned(const uint8_t* p) { return p[lane]; }
    template <int from, int to, uint32_t mask>
    static I bits(I a) {
        return static_cast<I>((static_cast<uint32_t>(a) >> from & mask) << to);
    }
    static I either(I a, I b) { return a | b; }
    static I exclusive(I a, I b) { return a ^ b; }
    static Bytes as_bytes(I a) { return static_cast<Bytes>(a); }
    static Bytes gather(const uint32_t* table, I index) { return table[index]; }

    static Rows load_rows(const uint8_t* p) { return static_cast<Rows>(p[lane]); }
    static Rows low_nibbles(Rows a) { return a & 15; }
    static Rows high_nibbles(Rows a) { return static_cast<Rows>(static_cast<uint8_t>(a) >> 4); }
    static Rows subtract_32(Rows a) { return static_cast<Rows>(a - 32); }
    static void split_six_bits(const uint8_t* p, Rows& first, Rows& second) {
        const int upper = p[16 + lane % 8] >> (lane < 8 ? 0 : 4);
        first = static_cast<Rows>((p[lane] & 15) | (upper & 3) << 4);
        second = static_cast<Rows>(p[lane] >> 4 | (upper & 12) << 2);
    }
    static I widen(Rows a) { return a; }
    static F powers_of_two(Rows a) {
        const int32_t e = static_cast<uint8_t>(a);
        return bits_to_float(static_cast<uint32_t>(e < 2 ? (e + 1) << 21 : (e - 1) << 23));
    }
    static F load_e4m3(const uint8_t* p) { return half_to_float(static_cast<uint16_t>(p[lane] << 7)); }
};

}  // namespace zp::shared
