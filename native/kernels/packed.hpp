// How a weight matrix lies in memory once it is loaded: in its packed format, but with sixteen rows
// interleaved, so that a register holds one or four columns of sixteen rows and no sum ever crosses lanes.
//
// A matrix [rows, cols] is a run of groups of 16 rows; a group is a run of blocks along the columns:
//   Q4_0  256 bytes of nibbles, 16 half scales                      (32 columns a block)
//   Q4_1  256 bytes of nibbles, 16 half scales, 16 half minimums
//   Q8_0  512 bytes (value + 128), 16 half scales
//   F32, F16, BF16: 16 values                                       (1 column a block)
// Within a quantised block, byte 4 * row + j of vector i holds column 4 * i + j; for nibbles the low half
// holds that column and the high half column 16 + 4 * i + j. Rows past the last are zero.
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

// An activation row as the int8 kernels read it: 32 columns with one scale.
struct QuantBlock {
    int8_t q[kBlockCols];
    float scale;       // x is about scale * q
    float scaled_sum;  // scale * sum(q), what a minimum is multiplied with
    int32_t sum;       // sum(q), what a zero point is multiplied with
    int32_t unused;
};
static_assert(sizeof(QuantBlock) == 48);

}  // namespace zp
