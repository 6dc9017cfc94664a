// A packed weight matrix [rows, cols] in the layout of packed.hpp, and a linear layer with an optional bias.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.hpp"

namespace zp {

struct Matrix {
    Format format = Format::kF32;
    int rows = 0;
    int cols = 0;
    const uint8_t* data = nullptr;

    int n_groups() const { return (rows + kGroupRows - 1) / kGroupRows; }
    size_t group_bytes() const { return packed_group_bytes(format, static_cast<size_t>(cols)); }
    size_t n_bytes() const { return group_bytes() * static_cast<size_t>(n_groups()); }
};

// A matrix and its bias, [rows] or null.
struct Linear {
    Matrix matrix;
    const float* bias = nullptr;
};

// n rounded up to complete groups of 16: the length of an output row.
inline int padded(int n) { return (n + kGroupRows - 1) / kGroupRows * kGroupRows; }

}  // namespace zp
