// The feed-forward half of a block; mixtures of experts are in mixture.cpp.
#include <algorithm>

#include "model/forward.hpp"

namespace zp {

void Forward::ffn_block(int thread, const Batch& batch, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    if (spec.ffn.kind == FfnKind::kMixture) return mixture_block(thread, layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Linear* const readers[] = {&w.gate, &w.up};
    const NormSpec norm = has_input_norm(spec.placement) ? spec.norm : NormSpec{};
    const Activations normed = stage_norm(thread, norm, w.ffn_norm, layer, readers);
    const Activations x =
        spec.ffn.is_shifted ? shift_rows(thread, batch, layer, normed, w.up.matrix) : normed;
    ffn_hidden(thread, spec.ffn, {w.gate, w.up, w.down}, x, n_tokens_);
    pool_.barrier();
    tap(thread, Tap::kFfnNorm, layer, normed.floats, normed.float_stride);
    tap(thread, Tap::kUp, layer, up_, ff_stride_);
    tap_mutable(thread, Tap::kHidden, layer, gate_, ff_stride_, &w.down.matrix);
    add_to_residual(thread, layer, w.down, {gate_, ff_stride_, ff_blocks_, 1}, w.ffn_output_norm);
    tap(thread, has_output_norm(spec.placement) ? Tap::kFfnOutputNorm : Tap::kFfnOutput, layer, projected_,
        model_stride_);
}

Activations Forward::shift_rows(int thread, const Batch& batch, int layer, const Activations& x,
                                const Matrix& reader) {
    // The last row of the tokens before follows the state of the block's recurrence.
    const size_t at = spec_.layer(layer).recurrence->n_state_floats(spec_.d_model);
    const float* const share = weights_.layers[static_cast<size_t>(layer)].ffn_shift;
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    for (const Slice& slice : batch.slices) {
        const int end = std::min(slice.first_row + slice.n_tokens, range.end);
        for (int t = std::max(slice.first_row, range.begin); t < end; ++t) {
            const float* row = x.floats + static_cast<size_t>(t) * x.float_stride;
            const float* previous =
                t == slice.first_row ? slice.cache.state(layer) + at : row - x.float_stride;
            float* to = projected_ + static_cast<size_t>(t) * model_stride_;
            for (int c = 0; c < spec_.d_model; ++c) to[c] = row[c] + share[c] * (previous[c] - row[c]);
            if (t == slice.first_row + slice.n_tokens - 1)
                std::copy(row, row + spec_.d_model, slice.cache.next_state(layer) + at);
        }
    }
    pool_.barrier();
    return stage_rows(thread, projected_, model_stride_, spec_.d_model, reader);
}

void Forward::ffn_hidden(int thread, const FfnSpec& spec, const FfnMatrices& w, const Activations& x,
                         int n_rows) {
    // A thread computes the same rows of gate and up, in pairs of groups, so that it can combine them and
    // quantize complete blocks of 32 columns without a barrier.
    const int n_groups = w.up.matrix.n_groups();
    pool_.parallel_for((n_groups + 1) / 2, thread, [&](int first_pair, int end_pair) {
        ffn_groups(spec, w, x, n_rows, 2 * first_pair, std::min(2 * end_pair, n_groups));
    });
}

void Forward::ffn_groups(const FfnSpec& spec, const FfnMatrices& w, const Activations& x, int n_rows,
                         int begin, int end) {
    const bool is_gated = w.gate.matrix.data != nullptr;
    if (is_gated) multiply(kernels_, is_exact_, {&w.gate, gate_, ff_stride_}, x, n_rows, begin, end);
    multiply(kernels_, is_exact_, {&w.up, up_, ff_stride_}, x, n_rows, begin, end);
    const int first = begin * kGroupRows;
    const int n = std::min(end * kGroupRows, spec.d_ff) - first;
    for (int t = 0; t < n_rows && n > 0; ++t) {
        float* hidden = gate_ + t * ff_stride_ + first;
        combine(spec, is_gated, n, up_ + t * ff_stride_ + first, hidden);
        if (uses_int8(w.down.matrix, is_exact_)) {
            const size_t row = static_cast<size_t>(t) * (spec.d_ff / kBlockCols);
            kernels_.quantize(hidden, n, ff_blocks_ + row + first / kBlockCols);
        }
    }
}

void Forward::combine(const FfnSpec& spec, bool is_gated, int n, float* up, float* hidden) const {
    const int kind = static_cast<int>(spec.activation);
    if (is_gated && spec.limit > 0) {
        for (int i = 0; i < n; ++i) hidden[i] = std::min(hidden[i], spec.limit);
        for (int i = 0; i < n; ++i) up[i] = std::clamp(up[i], -spec.limit, spec.limit);
    }
    if (is_gated && spec.up_offset != 0)
        for (int i = 0; i < n; ++i) up[i] += spec.up_offset;
    const bool is_steeper = spec.activation_slope != 1.0f;
    if (is_steeper) kernels_.scale(spec.activation_slope, n, is_gated ? hidden : up);
    if (is_gated) {
        kernels_.gate[kind](hidden, up, n, hidden);
    } else {
        kernels_.activate[kind](up, n, hidden);
    }
    if (is_steeper) kernels_.scale(1.0f / spec.activation_slope, n, hidden);
    for (int i = 0; spec.is_squared && i < n; ++i) hidden[i] *= hidden[i];
}

}  // namespace zp
