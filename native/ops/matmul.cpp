#include "ops/matmul.hpp"

#include <algorithm>

namespace zp {

void multiply(const Kernels& kernels, bool is_exact, const Product& product, const Activations& x,
              int n_tokens, int begin, int end) {
    if (begin >= end) return;
    const Matrix& w = product.weight->matrix;
    const uint8_t* first = w.data + static_cast<size_t>(begin) * w.group_bytes();
    float* y = product.y + static_cast<size_t>(begin) * kGroupRows;
    const int format = static_cast<int>(w.format);
    if (wants_blocks(w, is_exact)) {
        kernels.matmul_int8[format]({first, w.group_bytes(), end - begin, w.cols / kBlockCols, x.blocks,
                                     x.n_parts, n_tokens, y, product.y_stride});
    } else {
        kernels.matmul_float[format]({first, w.group_bytes(), end - begin, w.cols, x.floats, x.float_stride,
                                      n_tokens, y, product.y_stride});
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
