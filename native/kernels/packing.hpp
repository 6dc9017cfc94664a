// From the row-major layout of a file to the interleaved one of packed.hpp, and single rows back to float.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp {

// Packs rows [16 * group, 16 * group + 16) of a matrix; rows past `n_rows` become zero.
void pack_group(Format format, const uint8_t* file_rows, size_t n_rows, size_t n_cols, size_t group,
                uint8_t* out);

// Row `row` of a packed matrix as floats [n_cols].
void unpack_row(Format format, const uint8_t* packed, size_t n_cols, size_t row, float* out);

// `n` values of a float format (F32, F16, BF16) in file order as floats.
void unpack_floats(Format format, const uint8_t* file_values, size_t n, float* out);

}  // namespace zp
