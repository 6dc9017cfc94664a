// The attention half of a block: projections, rotation, the cache, attention and the output projection.
#include <iterator>

#include "model/forward.hpp"
#include "ops/position/rope.hpp"

namespace zp {

void Forward::attention_block(int thread, const Batch& batch, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const bool is_parallel = spec.placement == Placement::kParallel;
    const Linear* const readers[] = {&w.query, &w.key, &w.value, &w.gate, &w.up};
    const Activations x = stage_norm(thread, spec.norm, w.mixer_norm, layer - 1,
                                     {readers, is_parallel ? std::size(readers) : 3});
    if (is_parallel) {
        // The first half of the feed-forward reads the same norm; the second half runs after attention.
        ffn_hidden(thread, spec.ffn, {w.gate, w.up, w.down}, x, n_tokens_);
        pool_.barrier();
        tap(thread, Tap::kUp, layer, up_, ff_stride_);
        tap_mutable(thread, Tap::kHidden, layer, gate_, ff_stride_, &w.down.matrix);
    }
    const Product products[] = {
        {&w.query, q_, query_stride_}, {&w.key, k_, kv_stride_}, {&w.value, v_, kv_stride_}};
    const int n_groups = w.query.matrix.n_groups() + w.key.matrix.n_groups() + w.value.matrix.n_groups();
    pool_.parallel_for(n_groups, thread, [&](int begin, int end) {
        multiply_several(kernels_, is_exact_, products, 3, x, n_tokens_, begin, end);
    });
    pool_.barrier();
    tap(thread, Tap::kAttentionNorm, layer, x.floats, x.float_stride);
    tap(thread, Tap::kQuery, layer, q_, query_stride_);
    tap(thread, Tap::kKey, layer, k_, kv_stride_);
    tap(thread, Tap::kValue, layer, v_, kv_stride_);
    attend(thread, batch, layer);
    tap_mutable(thread, Tap::kContext, layer, context_, query_stride_);
    const Activations mixed =
        stage_rows(thread, context_, query_stride_, spec.attention.n_query(), w.output.matrix);
    add_to_residual(thread, layer, w.output, mixed, w.mixer_output_norm);
    const bool is_overwritten = has_output_norm(spec.placement);  // by its norm
    tap(thread, is_overwritten ? Tap::kAttentionOutputNorm : Tap::kAttentionOutput, layer, projected_,
        model_stride_);
    if (!is_parallel) return;
    // Both products add to the same rows of the residual stream, and threads may get different row groups.
    pool_.barrier();
    add_to_residual(thread, layer, w.down, {gate_, ff_stride_, ff_blocks_, 1}, w.ffn_output_norm);
    tap(thread, Tap::kFfnOutput, layer, projected_, model_stride_);
}

void Forward::attend(int thread, const Batch& batch, int layer) {
    rotate_and_store(thread, batch, layer);
    pool_.barrier();
    tap(thread, Tap::kKeyRotated, layer, k_, kv_stride_);
    if (has_taps_) record_attention(thread, batch, layer);
    const AttentionRule& rule = spec_.layer(layer).attention.rule;
    const Attention& attention = attention_[attention_at_[static_cast<size_t>(layer)]];
    const Attention::Io io = {q_, query_stride_, context_, query_stride_, attention_scratch_.data()};
    attention.run(kernels_, batch.slices, layer, rule, io, pool_, thread);
    pool_.barrier();
    if (!attention.is_split()) return;
    attention.join(kernels_, batch.slices, rule, io, thread);
    pool_.barrier();
}

void Forward::prepare_head(const AttentionSpec& spec, const Norm& norm, size_t row, int position,
                           float* head) const {
    normalize(spec.query_key_norm, norm, spec.d_head, head, head);
    if (spec.rotation == AttentionSpec::kNoRotation) return;
    const Rotation& rotation = spec_.rotations[static_cast<size_t>(spec.rotation)];
    const Angles& angles = angles_[static_cast<size_t>(spec.rotation)];
    if (const auto& [encoding, options] = rotation.encoding; encoding != nullptr)
        encoding->rotate(options, position, spec.d_head, head);
    const int n_pairs = rotation.n_pairs();
    rope_rotate(rotation.layout, angles.cosines + row * n_pairs, angles.sines + row * n_pairs, n_pairs, head);
}

void Forward::rotate_and_store(int thread, const Batch& batch, int layer) {
    const AttentionSpec& spec = spec_.layer(layer).attention;
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int n_heads = spec.n_heads + spec.n_kv_heads;
    for (const Slice& slice : batch.slices) {
        // Work items are (token, head) pairs, query heads before key heads.
        const Range range = thread_range(slice.n_tokens * n_heads, thread, pool_.size());
        for (int item = range.begin; item < range.end; ++item) {
            const int token = item / n_heads;
            const int head = item % n_heads;
            const size_t row = static_cast<size_t>(slice.first_row + token);
            const int position = slice.first_position + token;  // in the cache
            const int text_position = slice.n_dropped + position;
            if (head < spec.n_heads) {
                float* q = q_ + row * query_stride_ + static_cast<size_t>(head) * spec.d_head;
                prepare_head(spec, w.query_norm, row, text_position, q);
                for (int k = 0; k < spec.d_head; ++k) q[k] *= spec.scale;
            } else {
                const int kv_head = head - spec.n_heads;
                const size_t at = row * kv_stride_ + static_cast<size_t>(kv_head) * spec.d_head;
                prepare_head(spec, w.key_norm, row, text_position, k_ + at);
                write_key(slice.cache, layer, kv_head, position, k_ + at);
                write_value(slice.cache, layer, kv_head, position, v_ + at);
            }
        }
    }
}

}  // namespace zp
