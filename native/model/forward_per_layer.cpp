// Per-layer inputs: a second embedding gives every block a small vector for each token (Gemma 4); and the
// factor of a block's output.
#include <algorithm>
#include <cmath>

#include "kernels/packing.hpp"
#include "model/forward.hpp"

namespace zp {

void Forward::per_layer_inputs(int thread, const Batch& batch) {
    const int width = spec_.d_per_layer, n_layers = spec_.n_layers();
    const Linear& w = weights_.per_layer_projection;
    const Activations x = stage_rows(thread, x_, model_stride_, spec_.d_model, w.matrix);
    pool_.parallel_for(w.matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, {&w, per_layer_, per_layer_stride_}, x, n_tokens_, begin, end);
    });
    pool_.barrier();
    const float scale = 1.0f / std::sqrt(static_cast<float>(spec_.d_model));
    const float table_scale = std::sqrt(static_cast<float>(width));
    float* table = per_layer_table_ + thread * per_layer_stride_;
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    for (int t = range.begin; t < range.end; ++t) {
        unpack_row(weights_.per_layer_embedding.format, weights_.per_layer_embedding.data,
                   static_cast<size_t>(width) * n_layers, static_cast<size_t>(batch.tokens[t]), table);
        kernels_.scale(table_scale, width * n_layers, table);
        for (int layer = 0; layer < n_layers; ++layer) {
            float* input = per_layer_ + t * per_layer_stride_ + static_cast<size_t>(layer) * width;
            kernels_.scale(scale, width, input);
            if (!normalize(spec_.layer(0).norm, weights_.per_layer_norm, width, input, input))
                record_nonfinite(kEmbedding);
            kernels_.add(table + static_cast<size_t>(layer) * width, width, input);
            kernels_.scale(std::sqrt(0.5f), width, input);
        }
    }
    pool_.barrier();
}

void Forward::add_per_layer(int thread, int layer) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int width = spec_.d_per_layer;
    const float* inputs = per_layer_ + static_cast<size_t>(layer) * width;
    const Activations x = stage_rows(thread, x_, model_stride_, spec_.d_model, w.per_layer_gate.matrix);
    pool_.parallel_for(w.per_layer_gate.matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, {&w.per_layer_gate, gate_, ff_stride_}, x, n_tokens_, begin, end);
        const int first = begin * kGroupRows;
        const int n = std::min(end * kGroupRows, width) - first;
        for (int t = 0; t < n_tokens_ && n > 0; ++t) {
            float* hidden = gate_ + t * ff_stride_ + first;
            kernels_.gate[static_cast<int>(spec_.per_layer_activation)](
                hidden, inputs + t * per_layer_stride_ + first, n, hidden);
        }
    });
    pool_.barrier();
    const Activations hidden = stage_rows(thread, gate_, ff_stride_, width, w.per_layer_projection.matrix);
    pool_.parallel_for(w.per_layer_projection.matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, {&w.per_layer_projection, projected_, model_stride_}, hidden, n_tokens_,
                 begin, end);
    });
    pool_.barrier();
}

void Forward::finish_block(int thread, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    if (spec_.d_per_layer > 0) add_per_layer(thread, layer);
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    for (int t = range.begin; t < range.end; ++t) {
        float* x = x_ + t * model_stride_;
        if (spec_.d_per_layer > 0) {
            float* added = projected_ + t * model_stride_;
            normalize(spec.norm, w.per_layer_norm, spec_.d_model, added, added);
            if (spec.residual_scale != 1.0f) kernels_.scale(spec.residual_scale, spec_.d_model, added);
            kernels_.add(added, spec_.d_model, x);
        }
        if (spec.has_output_scale) kernels_.scale(*w.output_scale, spec_.d_model, x);
    }
    pool_.barrier();
    tap_mutable(thread, Tap::kBlockOutput, layer, x_, model_stride_);
}

}  // namespace zp
