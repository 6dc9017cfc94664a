#include "ops/matmul.hpp"

#include <algorithm>

namespace zp {

namespace {

// Activation rows that a thread multiplies with all of its weights before the next ones. They fit the L2
// cache, and the weights are reread only once per pass.
constexpr int kTokensPerPass = 96;  // a multiple of the tile sizes 2, 3, 4, 6 and 8

}  // namespace

void multiply(const Kernels& kernels, bool is_exact, const Product& product, const Activations& x,
              int n_tokens, int begin, int end) {
    if (begin >= end) return;
    const Matrix& w = product.weight->matrix;
    const uint8_t* first = w.data + static_cast<size_t>(begin) * w.group_bytes();
    float* y = product.y + static_cast<size_t>(begin) * kGroupRows;
    const int format = static_cast<int>(w.format);
    for (int t = 0; t < n_tokens; t += kTokensPerPass) {
        const int n = std::min(n_tokens - t, kTokensPerPass);
        float* rows = y + static_cast<size_t>(t) * product.y_stride;
        if (uses_int8(w, is_exact)) {
            const int n_blocks = w.cols / kBlockCols;
            kernels.matmul_int8[format]({first, w.group_bytes(), end - begin, n_blocks,
                                         x.blocks + static_cast<size_t>(t) * x.n_terms * n_blocks, x.n_terms,
                                         n, rows, product.y_stride});
        } else {
            kernels.matmul_float[format]({first, w.group_bytes(), end - begin, w.cols,
                                          x.floats + static_cast<size_t>(t) * x.float_stride, x.float_stride,
                                          n, rows, product.y_stride});
        }
    }
    if (product.weight->bias == nullptr) return;
    const int first_row = begin * kGroupRows;
    const int n_rows = std::min(end * kGroupRows, w.rows) - first_row;
    for (int t = 0; t < n_tokens; ++t)
        kernels.add(product.weight->bias + first_row, n_rows, y + static_cast<size_t>(t) * product.y_stride);
}

void multiply_several(const Kernels& kernels, bool is_exact, const Product* products, int n_products,
                      const Activations& x, int n_tokens, int begin, int end) {
    int before = 0;
    for (int i = 0; i < n_products; ++i) {
        const int n = products[i].weight->matrix.n_groups();
        multiply(kernels, is_exact, products[i], x, n_tokens, std::max(begin - before, 0),
                 std::min(end - before, n));
        before += n;
    }
}

}  // namespace zp
