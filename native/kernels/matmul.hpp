// Arguments of matrix products (kernels.hpp); apart, because one file per weight format and instruction set
// includes them. Shapes: M tokens.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp {

// The product y = x W^T of M int8 activation rows with consecutive packed groups.
struct MatmulInt8 {
    const uint8_t* weights;  // packed groups, see packed.hpp
    size_t group_bytes;      // distance between groups
    int n_groups;            // 16 output rows each
    int n_blocks;            // columns / 32
    const QuantBlock* x;     // [M, n_blocks, n_terms]
    int n_terms;             // blocks per 32 columns: 1, or 2 if the second holds the quantization residual
    int n_tokens;            // M
    float* y;                // [M, y_stride]; writes 16 * n_groups columns
    size_t y_stride;
};

struct MatmulFloat {
    const uint8_t* weights;
    size_t group_bytes;
    int n_groups;
    int n_cols;
    const float* x;  // [M, x_stride]
    size_t x_stride;
    int n_tokens;
    float* y;  // [M, y_stride]
    size_t y_stride;
};

}  // namespace zp
