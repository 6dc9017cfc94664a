// Matrix products of the same activations with one or several weights, divided among threads.
#pragma once

#include <cstddef>

#include "base/threads.hpp"
#include "kernels/kernels.hpp"
#include "ops/matrix.hpp"

namespace zp {

// Activations in float and int8; a form that no matrix needs may be null.
struct Activations {
    const float* floats = nullptr;  // [T, float_stride]
    size_t float_stride = 0;
    const QuantBlock* blocks = nullptr;  // [T, D / 32, n_terms]
    int n_terms = 1;                     // 2: with residuals
};

struct Product {
    const Linear* weight;
    float* y;         // [T, y_stride]
    size_t y_stride;  // at least the matrix's rows rounded up to 16
};

// Whether products with this matrix read int8 activations.
inline bool uses_int8(const Matrix& weight, bool is_exact) {
    return !is_exact && is_quantized(weight.format);
}

// Computes groups [begin, end) of one product, including the bias.
void multiply(const Kernels& kernels, bool is_exact, const Product& product, const Activations& x,
              int n_tokens, int begin, int end);

// Computes groups [begin, end) of several products, numbered consecutively, so that small matrices can be
// divided evenly among threads.
void multiply_several(const Kernels& kernels, bool is_exact, const Product* products, int n_products,
                      const Activations& x, int n_tokens, int begin, int end);

}  // namespace zp
