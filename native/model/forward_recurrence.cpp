// The half of a block that mixes tokens by a recurrence: norm, the layer's own computation, output
// projection.
#include <algorithm>

#include "model/forward.hpp"
#include "model/recurrence/recurrence.hpp"

namespace zp {

RecurrencePass::RecurrencePass(Forward& forward, int thread_index, const std::vector<Slice>& batch_slices,
                               int layer_index, const Activations& normed)
    : kernels(forward.kernels_),
      pool(forward.pool_),
      thread(thread_index),
      slices(batch_slices),
      n_tokens(forward.n_tokens_),
      layer(layer_index),
      x(normed),
      buffers(forward.recurrence_buffers_.data()),
      strides(forward.recurrence_strides_.data()),
      shared(forward.shared_),
      shared_stride(forward.shared_stride_),
      forward_(forward) {}

void RecurrencePass::project(std::span<const Product> products) {
    int n_groups = 0;
    for (const Product& product : products) n_groups += product.weight->matrix.n_groups();
    pool.parallel_for(n_groups, thread, [&](int begin, int end) {
        multiply_several(kernels, forward_.is_exact_, products.data(), static_cast<int>(products.size()), x,
                         n_tokens, begin, end);
    });
    pool.barrier();
}

void RecurrencePass::project(const float* rows, size_t stride, const Product& product) {
    const Matrix& matrix = product.weight->matrix;
    const Activations staged = forward_.stage_rows(thread, rows, stride, matrix.cols, matrix);
    pool.parallel_for(matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels, forward_.is_exact_, product, staged, n_tokens, begin, end);
    });
    pool.barrier();
}

void RecurrencePass::project_each(std::span<const Projection> projections) {
    const bool is_private = n_tokens <= Forward::kPrivateRows;
    for (const auto& [rows, stride, product] : projections) {
        const Matrix& matrix = product.weight->matrix;
        const Activations staged = forward_.stage_rows(thread, rows, stride, matrix.cols, matrix);
        const Range groups = thread_range(matrix.n_groups(), thread, pool.size());
        multiply(kernels, forward_.is_exact_, product, staged, n_tokens, groups.begin, groups.end);
        if (!is_private) pool.barrier();
    }
    if (is_private) pool.barrier();
}

void RecurrencePass::tap(Tap tap, const float* rows, size_t stride) {
    forward_.tap(thread, tap, layer, rows, stride);
}

void Forward::recurrence_block(int thread, const Batch& batch, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const RecurrentLayer& recurrent = *w.recurrence;
    const Activations x = stage_norm(thread, has_input_norm(spec.placement) ? spec.norm : NormSpec{},
                                     w.mixer_norm, layer - 1, recurrent.readers());
    tap(thread, Tap::kRecurrenceNorm, layer, x.floats, x.float_stride);
    RecurrencePass pass(*this, thread, batch.slices, layer, x);
    const RecurrentLayer::Rows mixed = recurrent.run(pass);
    const Linear& output = recurrent.output();
    const Activations staged =
        stage_rows(thread, mixed.rows, mixed.stride, output.matrix.cols, output.matrix);
    add_to_residual(thread, layer, output, staged, w.mixer_output_norm);
    tap(thread, has_output_norm(spec.placement) ? Tap::kRecurrenceOutputNorm : Tap::kRecurrenceOutput, layer,
        projected_, model_stride_);
}

}  // namespace zp
