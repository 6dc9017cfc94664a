// The feed-forward half of a block; mixtures of experts are in mixture.cpp.
#include <algorithm>

#include "model/forward.hpp"

namespace zp {

void Forward::ffn_block(int thread, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    if (spec.ffn.kind == FfnKind::kMixture) return mixture_block(thread, layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Linear* const readers[] = {&w.gate, &w.up};
    const NormSpec norm = has_input_norm(spec.placement) ? spec.norm : NormSpec{};
    const Activations x = stage_norm(thread, norm, w.ffn_norm, layer, readers);
    ffn_hidden(thread, spec.ffn, {w.gate, w.up, w.down}, x, n_tokens_);
    pool_.barrier();
    tap(thread, Tap::kFfnNorm, layer, x.floats, x.float_stride);
    tap(thread, Tap::kUp, layer, up_, ff_stride_);
    tap_mutable(thread, Tap::kHidden, layer, gate_, ff_stride_, &w.down.matrix);
    add_to_residual(thread, layer, w.down, {gate_, ff_stride_, ff_blocks_, 1}, w.ffn_output_norm);
    tap(thread, has_output_norm(spec.placement) ? Tap::kFfnOutputNorm : Tap::kFfnOutput, layer, projected_,
        model_stride_);
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
}

}  // namespace zp
