// How a weight matrix lies in memory once it is loaded: in its packed format, but with sixteen rows
// interleaved, so that a register holds one or four columns of sixteen rows and no sum ever crosses lanes.
//
// A matrix [rows, cols] is a run of groups of 16 rows; a group is a run of blocks along the columns. A block
// holds the blocks of 16 rows of the file, in as many bytes: F32, F16 and BF16 have 16 values (1 column), the
// others what their file in codes/ says (32 or 256 columns). Rows past the last are zero.
//
// Codes lie in vectors of 64 bytes, byte 4 * row + j for column 4 * i + j of 32: that is vector i of whole
// bytes. Of nibbles, vector i has columns 4 * i + j in the low halves and 16 + 4 * i + j in the high halves;
// of pairs of bits, field k of vector h has column 16 * h + 4 * k + j; of single bits, bit i has 4 * i + j.
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

// Blocks of an activation row whose products are added before those of what rounding them left over.
inline constexpr int kRunBlocks = 16;

// An activation row as the int8 kernels read it: 32 columns with one scale.
struct QuantBlock {
    int8_t q[kBlockCols];
    float scale;            // x is about scale * q
    float scaled_sum;       // scale * sum(q), what a minimum is multiplied with
    int16_t half_sums[2];   // of columns 0 to 15 and 16 to 31, what a zero point is multiplied with
    int32_t residual_mask;  // the first of a run: a bit for each of its blocks whose second part is not zero
};
static_assert(sizeof(QuantBlock) == 48);

}  // namespace zp
