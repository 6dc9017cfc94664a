// Memory layout of a loaded weight matrix: the file's format with 16 rows interleaved, so that a register
// holds one or four columns of 16 rows and no sum crosses lanes.
//
// A matrix [rows, cols] is a sequence of groups of 16 rows; a group is a sequence of packed blocks along the
// columns. A packed block contains one block of each of 16 rows, in the same number of bytes as in the file:
// 16 values (1 column) for F32, F16 and BF16; for the others (32 or 256 columns) see the format's file in
// codes/. Rows past the last are zero.
//
// Codes are stored in vectors of 64 bytes; byte 4 * row + j belongs to column j of four. In 32 columns,
//   8-bit codes:  vector i has columns 4 * i + j
//   4-bit codes:  vector i has columns 4 * i + j in the low nibbles and 16 + 4 * i + j in the high nibbles
//   2-bit fields: field k of vector h has column 16 * h + 4 * k + j
//   1-bit fields: bit i has column 4 * i + j
#pragma once

#include <cstddef>
#include <cstdint>

#include "formats/format.hpp"

namespace zp {

inline constexpr int kGroupRows = 16;
inline constexpr int kBlockCols = 32;

inline constexpr bool is_quantized(Format format) { return info(format).block_weights > 1; }

// Bytes of one group of 16 rows.
inline constexpr size_t packed_group_bytes(Format format, size_t cols) {
    return cols / info(format).block_weights * info(format).block_bytes * kGroupRows;
}

// Blocks per run of an activation row: the kernels add a run's blocks first, then the residuals of that run.
inline constexpr int kRunBlocks = 16;

// 32 columns of an activation row, quantized to int8 with one scale.
struct QuantBlock {
    int8_t q[kBlockCols];
    float scale;            // x is about scale * q
    float scaled_sum;       // scale * sum(q), for formats with a minimum
    int16_t half_sums[2];   // sums of q over columns 0 to 15 and 16 to 31, for formats with a zero point
    int32_t residual_mask;  // in the first block of a run: bit b is set if block b has a residual
};
static_assert(sizeof(QuantBlock) == 48);

}  // namespace zp
