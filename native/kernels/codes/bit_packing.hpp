// From a row's block in the file to its bytes among those of sixteen rows: four columns, a word, at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace zp::shared {

// Eight words of one byte a column: 32 columns.
struct Columns {
    uint32_t at[8];
};

// Bits [shift, shift + n) of 32 bytes, a column each.
template <int n>
inline Columns columns_of(const uint8_t* bytes, int shift) {
    constexpr uint32_t kMask = ((1u << n) - 1) * 0x01010101u;
    Columns c;
    std::memcpy(c.at, bytes, sizeof c.at);
    for (uint32_t& word : c.at) word = word >> shift & kMask;
    return c;
}

// Thirty-two columns of nibbles as Q4_0 and its kin have them: low halves first, then high halves.
inline Columns columns_of_nibbles(const uint8_t* bytes) {
    Columns c;
    std::memcpy(c.at, bytes, 16);
    for (int i = 0; i < 4; ++i) {
        c.at[4 + i] = c.at[i] >> 4 & 0x0f0f0f0fu;
        c.at[i] &= 0x0f0f0f0fu;
    }
    return c;
}

// Thirty-two single bits, lowest first, a column each.
inline Columns columns_of_bits(uint32_t bits) {
    Columns c;
    // Four bits times this are at bits 0, 8, 16 and 24, with nothing carried.
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

inline void put_twos(const Columns& c, size_t row, uint8_t* packed) {
    for (size_t h = 0; h < 2; ++h) {
        const uint32_t* at = c.at + 4 * h;
        put_word(packed, h, row, at[0] | at[1] << 2 | at[2] << 4 | at[3] << 6);
    }
}

inline void put_ones(const Columns& c, size_t row, uint8_t* packed) {
    uint32_t word = 0;
    for (int i = 0; i < 8; ++i) word |= c.at[i] << i;
    put_word(packed, 0, row, word);
}

inline void put_half(const uint8_t* file, size_t row, uint8_t* packed) {
    std::memcpy(packed + 2 * row, file, 2);
}

// Two numbers of six bits a row in 24 bytes: their low halves in a byte a row, their upper two bits in a
// nibble a row, rows 8 to 15 in the high halves. Rows come in order, so that row 8 finds the byte of row 0
// written.
inline void put_sixes(unsigned first, unsigned second, size_t row, uint8_t* packed) {
    packed[row] = static_cast<uint8_t>((first & 15) | (second & 15) << 4);
    const unsigned upper = first >> 4 | second >> 4 << 2;
    uint8_t& pair = packed[16 + row % 8];
    pair = static_cast<uint8_t>(row < 8 ? upper : pair | upper << 4);
}

// The scales and minimums of Q4_K and Q5_K: formats/_bits.py has the layout in the file.
inline void put_six_bit_scales(const uint8_t* file, size_t row, uint8_t* packed) {
    for (size_t s = 0; s < 4; ++s) {
        const unsigned scale = file[s], minimum = file[4 + s], low = file[8 + s];
        put_sixes(scale & 63, minimum & 63, row, packed + 24 * s);
        put_sixes((low & 15) | scale >> 6 << 4, low >> 4 | minimum >> 6 << 4, row, packed + 24 * (4 + s));
    }
}

}  // namespace zp::shared
