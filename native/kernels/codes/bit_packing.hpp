// Moves the codes of one row from a block of the file into a packed block of 16 rows, four columns (one
// 32-bit word) at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace zp::shared {

// 32 columns, one byte each, in eight words.
struct Columns {
    uint32_t at[8];
};

// Extracts bits [shift, shift + n) of 32 bytes, one column per byte.
template <int n>
inline Columns columns_of(const uint8_t* bytes, int shift) {
    constexpr uint32_t kMask = ((1u << n) - 1) * 0x01010101u;
    Columns c;
    std::memcpy(c.at, bytes, sizeof c.at);
    for (uint32_t& word : c.at) word = word >> shift & kMask;
    return c;
}

// Extracts 32 columns from the 16 bytes of nibbles of Q4_0, Q4_1, Q5_0, Q5_1 and IQ4_NL: low nibbles are
// columns 0 to 15, high nibbles 16 to 31.
inline Columns columns_of_nibbles(const uint8_t* bytes) {
    Columns c;
    std::memcpy(c.at, bytes, 16);
    for (int i = 0; i < 4; ++i) {
        c.at[4 + i] = c.at[i] >> 4 & 0x0f0f0f0fu;
        c.at[i] &= 0x0f0f0f0fu;
    }
    return c;
}

// Expands 32 bits, lowest first, to one column each.
inline Columns columns_of_bits(uint32_t bits) {
    Columns c;
    // Multiplying by this constant spreads four bits to positions 0, 8, 16 and 24 without carries.
    for (int i = 0; i < 8; ++i) c.at[i] = (bits >> (4 * i) & 15u) * 0x00204081u & 0x01010101u;
    return c;
}

inline void put_word(uint8_t* packed, size_t vector, size_t row, uint32_t word) {
    std::memcpy(packed + 64 * vector + 4 * row, &word, 4);
}

inline void put_bytes(const Columns& c, size_t row, uint8_t* packed) {
    for (size_t i = 0; i < 8; ++i) put_word(packed, i, row, c.at[i]);
}

inline void put_nibbles(const Columns& c, size_t row, uint8_t* packed) {
    for (size_t i = 0; i < 4; ++i) put_word(packed, i, row, c.at[i] | c.at[4 + i] << 4);
}

inline void put_two_bits(const Columns& c, size_t row, uint8_t* packed) {
    for (size_t h = 0; h < 2; ++h) {
        const uint32_t* at = c.at + 4 * h;
        put_word(packed, h, row, at[0] | at[1] << 2 | at[2] << 4 | at[3] << 6);
    }
}

inline void put_single_bits(const Columns& c, size_t row, uint8_t* packed) {
    uint32_t word = 0;
    for (int i = 0; i < 8; ++i) word |= c.at[i] << i;
    put_word(packed, 0, row, word);
}

inline void put_half(const uint8_t* file, size_t row, uint8_t* packed) {
    std::memcpy(packed + 2 * row, file, 2);
}

// Packs two 6-bit numbers per row into 24 bytes: the low nibbles of both in byte `row`; the upper two bits of
// both in a nibble of byte 16 + row % 8, rows 8 to 15 in the high nibble. Call it in row order: row 8
// completes the byte that row 0 wrote.
inline void put_six_bits(unsigned first, unsigned second, size_t row, uint8_t* packed) {
    packed[row] = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
    const unsigned upper = first >> 4 | second >> 4 << 2;
    uint8_t& pair = packed[16 + row % 8];
    pair = static_cast<uint8_t>(row < 8 ? upper : pair | upper << 4);
}

// Packs the scales and minimums of Q4_K and Q5_K; formats/_bits.py describes their layout in the file.
inline void put_six_bit_scales(const uint8_t* file, size_t row, uint8_t* packed) {
    for (size_t s = 0; s < 4; ++s) {
        const unsigned scale = file[s], minimum = file[4 + s], low = file[8 + s];
        put_six_bits(scale & 63, minimum & 63, row, packed + 24 * s);
        put_six_bits((low & 15) | scale >> 6 << 4, low >> 4 | minimum >> 6 << 4, row, packed + 24 * (4 + s));
    }
}

}  // namespace zp::shared
