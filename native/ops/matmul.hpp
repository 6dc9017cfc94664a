// Several products of the same activations, shared out among threads.
#pragma once

#include <cstddef>

#include "base/threads.hpp"
#include "kernels/kernels.hpp"
#include "ops/matrix.hpp"

namespace zp {

// Activations in the two forms a product may want; a form that no matrix wants may be null.
struct Activations {
    const float* floats = nullptr;  // [T, float_stride]
    size_t float_stride = 0;
    const QuantBlock* blocks = nullptr;  // [T, D / 32, n_terms]
    int n_terms = 1;                     // 2: rounded finely
};

struct Product {
    const Linear* weight;
    float* y;         // [T, y_stride]
    size_t y_stride;  // at least the matrix's rows rounded up to 16
};

// True where products with this matrix read int8 activations.
inline bool uses_int8(const Matrix& weight, bool is_exact) {
    return !is_exact && is_quantized(weight.format);
}

// Groups [begin, end) of one product, bias included.
void multiply(const Kernels& kernels, bool is_exact, const Product& product, const Activations& x,
              int n_tokens, int begin, int end);

// Groups [begin, end) of all products, counted through one after the other, so that small matrices can be
// shared out evenly.
void multiply_several(const Kernels& kernels, bool is_exact, const Product* products, int n_products,
                      const Activations& x, int n_tokens, int begin, int end);

}  // namespace zp
