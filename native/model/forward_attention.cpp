// The attention half of a block: projections, norms, rotation, the cache, attention and the output
// projection.
#include <cmath>
#include <iterator>

#include "model/forward.hpp"
#include "ops/position/rope.hpp"

namespace zp {

namespace {

// The factor of the queries at a position of the text.
float temperature(const AttentionSpec& spec, int position) {
    if (spec.temperature_slope == 0) return 1.0f;
    return 1.0f +
           spec.temperature_slope * std::log(1.0f + static_cast<float>(position / spec.temperature_interval));
}

}  // namespace

void Forward::attention_block(int thread, const Batch& batch, int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const bool is_parallel = spec.placement == Placement::kParallel;
    const NormSpec norm = has_input_norm(spec.placement) ? spec.norm : NormSpec{};
    const Linear* const readers[] = {&w.query, &w.key, &w.value, &w.context_gate, &w.gate, &w.up};
    const Activations x =
        stage_norm(thread, norm, w.mixer_norm, layer - 1, {readers, is_parallel ? std::size(readers) : 4});
    if (is_parallel) {
        // The first half of the feed-forward reads the same norm; the second half runs after attention.
        ffn_hidden(thread, spec.ffn, {w.gate, w.up, w.down}, x, n_tokens_);
        pool_.barrier();
        tap(thread, Tap::kUp, layer, up_, ff_stride_);
        tap_mutable(thread, Tap::kHidden, layer, gate_, ff_stride_, &w.down.matrix);
    }
    project_heads(thread, layer, x);
    attend(thread, batch, layer);
    tap_mutable(thread, Tap::kContext, layer, context_, query_stride_);
    if (spec.attention.has_output_gate) gate_context(thread, spec.attention);
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

void Forward::project_heads(int thread, int layer, const Activations& x) {
    const AttentionSpec& spec = spec_.layer(layer).attention;
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    Product products[4] = {{&w.query, q_, query_stride_}};
    int n_products = 1;
    if (spec.has_keys()) {
        products[n_products++] = {&w.key, k_, kv_stride_};
        products[n_products++] = {&w.value, v_, kv_stride_};
    }
    if (spec.has_output_gate) products[n_products++] = {&w.context_gate, gates_, query_stride_};
    int n_groups = 0;
    for (int i = 0; i < n_products; ++i) n_groups += products[i].weight->matrix.n_groups();
    pool_.parallel_for(n_groups, thread, [&](int begin, int end) {
        multiply_several(kernels_, is_exact_, products, n_products, x, n_tokens_, begin, end);
    });
    pool_.barrier();
    tap(thread, Tap::kAttentionNorm, layer, x.floats, x.float_stride);
    tap(thread, Tap::kQuery, layer, q_, query_stride_);
    tap(thread, Tap::kKey, layer, k_, kv_stride_);
    tap(thread, Tap::kValue, layer, v_, kv_stride_);
    tap(thread, Tap::kContextGate, layer, gates_, query_stride_);
}

AttentionRule Forward::rule_of(int layer) const {
    AttentionRule rule = spec_.layer(layer).attention.rule;
    rule.sinks = weights_.layers[static_cast<size_t>(layer)].sink;
    return rule;
}

void Forward::attend(int thread, const Batch& batch, int layer) {
    if (spec_.layer(layer).attention.has_joint_query_key_norm) {
        normalize_jointly(thread, layer);
        pool_.barrier();
    }
    rotate_and_store(thread, batch, layer);
    pool_.barrier();
    tap(thread, Tap::kKeyRotated, layer, k_, kv_stride_);
    if (has_taps_) record_attention(thread, batch, layer);
    const AttentionRule rule = rule_of(layer);
    const Attention& attention = attention_[attention_at_[static_cast<size_t>(layer)]];
    const Attention::Io io = {q_, query_stride_, context_, query_stride_, attention_scratch_.data()};
    attention.run(kernels_, batch.slices, layer, rule, io, pool_, thread);
    pool_.barrier();
    if (!attention.is_split()) return;
    attention.join(kernels_, batch.slices, rule, io, thread);
    pool_.barrier();
}

void Forward::normalize_jointly(int thread, int layer) {
    const AttentionSpec& spec = spec_.layer(layer).attention;
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    for (int t = range.begin; t < range.end; ++t) {
        float* q = q_ + t * query_stride_;
        float* k = k_ + t * kv_stride_;
        normalize(spec.query_key_norm, w.query_norm, spec.n_query(), q, q);
        if (spec.has_keys()) normalize(spec.query_key_norm, w.key_norm, spec.n_kv(), k, k);
    }
}

void Forward::gate_context(int thread, const AttentionSpec& spec) {
    const Range range = thread_range(n_tokens_ * spec.n_heads, thread, pool_.size());
    for (int item = range.begin; item < range.end; ++item) {
        const size_t at = static_cast<size_t>(item / spec.n_heads) * query_stride_ +
                          static_cast<size_t>(item % spec.n_heads) * spec.d_head;
        float* gate = gates_ + at;
        float* context = context_ + at;
        kernels_.softcap_in_place(2.0f, spec.d_head, gate);  // sigmoid(x) = 1/2 + tanh(x / 2) / 2
        for (int k = 0; k < spec.d_head; ++k) context[k] *= 0.5f + 0.25f * gate[k];
    }
    pool_.barrier();
}

void Forward::prepare_head(const AttentionSpec& spec, const Norm& norm, size_t row, int position,
                           float* head) const {
    if (!spec.has_joint_query_key_norm) normalize(spec.query_key_norm, norm, spec.d_head, head, head);
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
    const int n_heads = spec.n_heads + (spec.has_keys() ? spec.n_kv_heads : 0);
    const Norm no_gain = {ones_.data(), nullptr};
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
                const float scale = spec.scale * temperature(spec, text_position);
                for (int k = 0; k < spec.d_head; ++k) q[k] *= scale;
            } else {
                const int kv_head = head - spec.n_heads;
                const size_t at = row * kv_stride_ + static_cast<size_t>(kv_head) * spec.d_head;
                prepare_head(spec, w.key_norm, row, text_position, k_ + at);
                normalize(spec.value_norm, no_gain, spec.d_head, v_ + at, v_ + at);
                write_key(slice.cache, layer, kv_head, position, k_ + at);
                write_value(slice.cache, layer, kv_head, position, v_ + at);
            }
        }
    }
}

}  // namespace zp
