// Conversion between the row-major layout of a file and the interleaved one of packed.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "formats/half.hpp"
#include "kernels/packed.hpp"

namespace zp {

// Packs rows [16 * group, 16 * group + 16) of a matrix; rows past `n_rows` become zero.
void pack_group(Format format, const uint8_t* file_rows, size_t n_rows, size_t n_cols, size_t group,
                uint8_t* out);

// Unpacks row `row` of a packed matrix to floats [n_cols].
void unpack_row(Format format, const uint8_t* packed, size_t n_cols, size_t row, float* out);

// Converts `n` values of a float format (F32, F16, BF16) in file order to floats.
void unpack_floats(Format format, const uint8_t* file_values, size_t n, float* out);

// One value of a float format.
inline float plain_value(Format format, const uint8_t* p) {
    uint16_t half;
    uint32_t word;
    switch (format) {
        case Format::kF32:
            std::memcpy(&word, p, 4);
            return bits_to_float(word);
        case Format::kF16:
            std::memcpy(&half, p, 2);
            return half_to_float(half);
        default:
            std::memcpy(&half, p, 2);
            return bf16_to_float(half);
    }
}

}  // namespace zp
