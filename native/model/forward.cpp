#include "model/forward.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/packing.hpp"
#include "ops/position/rope.hpp"

namespace zp {

namespace {

// Up to this many rows, every thread normalizes and quantizes all rows for itself: cheaper than a barrier.
constexpr int kPrivateRows = 2;

// Up to this many rows, a pass is short: it has little work between barriers, so the thread count adapts.
constexpr int kShortRows = 16;

// Normalized activations contain outlier blocks, which cause most of the int8 quantization error. Such blocks
// are quantized twice, value and residual; the second term of all others is zero (figures: docs/engine.md).
constexpr int kNormTerms = 2;

size_t blocks_for(int cols) { return static_cast<size_t>((cols + kBlockCols - 1) / kBlockCols); }

}  // namespace

Result<std::unique_ptr<Forward>> Forward::create(const ModelSpec& spec, const Weights& weights,
                                                 const Kernels& kernels, ThreadPool& pool, bool is_exact) {
    std::unique_ptr<Forward> forward(new Forward(spec, weights, kernels, pool, is_exact));
    if (Status status = forward->allocate(); !status.ok()) return status.error();
    return forward;
}

Status Forward::allocate() {
    model_stride_ = static_cast<size_t>(padded(spec_.d_model));
    query_stride_ = static_cast<size_t>(padded(spec_.n_heads * spec_.d_head));
    kv_stride_ = static_cast<size_t>(padded(spec_.n_kv_heads * spec_.d_head));
    ff_stride_ = static_cast<size_t>(padded(spec_.d_ff));
    const size_t max_width = std::max(model_stride_, query_stride_);
    const size_t n_threads = static_cast<size_t>(pool_.max_threads());
    private_float_stride_ = kPrivateRows * max_width;
    private_block_stride_ = kPrivateRows * kNormTerms * blocks_for(static_cast<int>(max_width));
    constexpr size_t kRows = Batch::kMaxTokens;
    const struct {
        void** target;
        size_t n_bytes;
    } allocations[] = {
        {reinterpret_cast<void**>(&x_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&projected_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&normed_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&q_), kRows * query_stride_ * 4},
        {reinterpret_cast<void**>(&k_), kRows * kv_stride_ * 4},
        {reinterpret_cast<void**>(&v_), kRows * kv_stride_ * 4},
        {reinterpret_cast<void**>(&context_), kRows * query_stride_ * 4},
        {reinterpret_cast<void**>(&gate_), kRows * ff_stride_ * 4},
        {reinterpret_cast<void**>(&up_), kRows * ff_stride_ * 4},
        {reinterpret_cast<void**>(&cosines_), kRows * spec_.rope_frequencies.size() * 4},
        {reinterpret_cast<void**>(&sines_), kRows * spec_.rope_frequencies.size() * 4},
        {reinterpret_cast<void**>(&blocks_),
         kRows * kNormTerms * blocks_for(static_cast<int>(max_width)) * sizeof(QuantBlock)},
        {reinterpret_cast<void**>(&ff_blocks_), kRows * blocks_for(spec_.d_ff) * sizeof(QuantBlock)},
        {reinterpret_cast<void**>(&router_logits_),
         spec_.n_experts > 0 ? kRows * static_cast<size_t>(padded(spec_.n_experts)) * 4 : 0},
        {reinterpret_cast<void**>(&expert_floats_), spec_.n_experts > 0 ? kRows * model_stride_ * 4 : 0},
        {reinterpret_cast<void**>(&expert_blocks_),
         spec_.n_experts > 0 ? kRows * kNormTerms * blocks_for(spec_.d_model) * sizeof(QuantBlock) : 0},
        {reinterpret_cast<void**>(&private_floats_), n_threads * private_float_stride_ * 4},
        {reinterpret_cast<void**>(&private_blocks_), n_threads * private_block_stride_ * sizeof(QuantBlock)},
    };
    for (const auto& a : allocations) {
        Result<Buffer> buffer = Buffer::allocate(a.n_bytes, Pages::kSmall, "the model's activations");
        if (!buffer.ok()) return buffer.error();
        *a.target = buffer.value().data();
        buffers_.push_back(std::move(buffer.value()));
    }
    return {};
}

Status Forward::run(const Batch& batch, std::span<float> logits, const std::function<bool()>& interrupt) {
    n_tokens_ = static_cast<int>(batch.tokens.size());
    nonfinite_layer_ = kNoLayer;
    is_cancelled_ = false;
    prepare_taps(batch);
    const bool is_short = n_tokens_ <= kShortRows;
    pool_.set_size(is_short ? adaptive_threads_.n_threads() : pool_.max_threads());
    attention_.plan(batch.slices, {spec_.n_heads, spec_.n_kv_heads, spec_.d_head}, pool_.size());
    attention_scratch_.resize(std::max(attention_scratch_.size(), attention_.scratch_floats()));
    const auto begin = std::chrono::steady_clock::now();
    pool_.run([&](int thread) { run_thread(thread, batch, logits.data(), interrupt); });
    const int n_sleeps = pool_.take_sleep_count();
    if (is_short)
        adaptive_threads_.record_pass(
            std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count(), n_sleeps);
    if (is_cancelled_) return Error{Fault::kCancelled, "the forward pass was interrupted"};
    if (nonfinite_layer_ != kNoLayer) {
        const int layer = nonfinite_layer_;
        const std::string where = layer == kEmbedding ? "the embedding" : "layer " + std::to_string(layer);
        return Error{Fault::kNumeric, where +
                                          " of the model produced NaN or infinity; its file is damaged or "
                                          "its weights are broken"};
    }
    return {};
}

void Forward::run_thread(int thread, const Batch& batch, float* logits,
                         const std::function<bool()>& interrupt) {
    embed(thread, batch);
    pool_.barrier();
    tap_mutable(thread, Tap::kEmbeddingOutput, -1, x_, model_stride_);
    for (int layer = 0; layer < spec_.n_layers; ++layer) {
        attention_block(thread, batch, layer);
        pool_.barrier();
        if (spec_.placement != Placement::kParallel)
            tap_mutable(thread, Tap::kAfterAttention, layer, x_, model_stride_);
        if (spec_.placement != Placement::kParallel && spec_.ffn != FfnKind::kNone) ffn_block(thread, layer);
        if (thread == 0 && interrupt && interrupt()) is_cancelled_ = true;
        pool_.barrier();
        if (is_cancelled_) return;
        if (spec_.ffn != FfnKind::kNone) tap_mutable(thread, Tap::kAfterFfn, layer, x_, model_stride_);
        if (has_taps_) record_lens(thread, layer);
    }
    if (!batch.output_rows.empty()) head(thread, batch.output_rows, logits);
}

void Forward::embed(int thread, const Batch& batch) {
    const int n_pairs = static_cast<int>(spec_.rope_frequencies.size());
    const size_t width = static_cast<size_t>(spec_.d_model);
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    for (int t = range.begin; t < range.end; ++t) {
        const auto slice = std::find_if(batch.slices.begin(), batch.slices.end(),
                                        [t](const Slice& s) { return t < s.first_row + s.n_tokens; });
        const int position = slice->n_dropped + slice->first_position + t - slice->first_row;
        float* row = x_ + t * model_stride_;
        unpack_row(weights_.embedding.format, weights_.embedding.data, width,
                   static_cast<size_t>(batch.tokens[t]), row);
        if (spec_.embedding_scale != 1.0f) kernels_.scale(spec_.embedding_scale, spec_.d_model, row);
        if (weights_.positions != nullptr)
            kernels_.add(weights_.positions + position * width, spec_.d_model, row);
        if (const auto& [encoding, options] = spec_.embedding_position; encoding != nullptr)
            encoding->add(options, position, spec_.d_model, row);
        float* cosines = cosines_ + static_cast<size_t>(t) * n_pairs;
        float* sines = sines_ + static_cast<size_t>(t) * n_pairs;
        rope_angles(spec_.rope_frequencies.data(), n_pairs, position, cosines, sines);
        if (spec_.rope_factor != 1.0f) {
            kernels_.scale(spec_.rope_factor, n_pairs, cosines);
            kernels_.scale(spec_.rope_factor, n_pairs, sines);
        }
    }
}

bool Forward::normalize(const Norm& norm, const float* x, float* y) const {
    switch (spec_.norm) {
        case NormKind::kRms:
            return kernels_.rms_norm(x, norm.gain, spec_.norm_eps, spec_.d_model, y);
        case NormKind::kLayer:
            return kernels_.layer_norm(x, norm.gain, norm.bias, spec_.norm_eps, spec_.d_model, y);
        default:
            if (x != y) std::memcpy(y, x, sizeof(float) * static_cast<size_t>(spec_.d_model));
            return true;
    }
}

void Forward::record_nonfinite(int layer) {
    int none = kNoLayer;
    nonfinite_layer_.compare_exchange_strong(none, layer);
}

Activations Forward::stage_norm(int thread, const Norm& norm, int writer,
                                std::initializer_list<const Linear*> readers) {
    const bool is_private = n_tokens_ <= kPrivateRows;
    float* floats = is_private ? private_floats_ + thread * private_float_stride_ : normed_;
    QuantBlock* blocks = is_private ? private_blocks_ + thread * private_block_stride_ : blocks_;
    const bool has_block_reader = std::any_of(
        readers.begin(), readers.end(), [&](const Linear* l) { return uses_int8(l->matrix, is_exact_); });
    const Range range = is_private ? Range{0, n_tokens_} : thread_range(n_tokens_, thread, pool_.size());
    const size_t block_stride = static_cast<size_t>(spec_.d_model / kBlockCols) * kNormTerms;
    for (int t = range.begin; t < range.end; ++t) {
        float* row = floats + t * model_stride_;
        if (!normalize(norm, x_ + t * model_stride_, row)) record_nonfinite(writer);
        if (has_block_reader)
            kernels_.quantize_with_residual(row, spec_.d_model,
                                            blocks + static_cast<size_t>(t) * block_stride);
    }
    if (!is_private) pool_.barrier();
    return {floats, model_stride_, blocks, kNormTerms};
}

Activations Forward::stage_rows(int thread, const float* rows, size_t stride, int n_cols,
                                const Matrix& reader) {
    if (!uses_int8(reader, is_exact_)) return {rows, stride, nullptr, 1};
    const bool is_private = n_tokens_ <= kPrivateRows;
    QuantBlock* blocks = is_private ? private_blocks_ + thread * private_block_stride_ : blocks_;
    const Range range = is_private ? Range{0, n_tokens_} : thread_range(n_tokens_, thread, pool_.size());
    for (int t = range.begin; t < range.end; ++t)
        kernels_.quantize(rows + t * stride, n_cols, blocks + static_cast<size_t>(t) * (n_cols / kBlockCols));
    if (!is_private) pool_.barrier();
    return {rows, stride, blocks, 1};
}

void Forward::add_to_residual(int thread, const Linear& weight, const Activations& x, const Norm& norm) {
    const bool is_sandwich = spec_.placement == Placement::kSandwich;
    pool_.parallel_for(weight.matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, {&weight, projected_, model_stride_}, x, n_tokens_, begin, end);
        const int first = begin * kGroupRows;
        const int n = std::min(end * kGroupRows, spec_.d_model) - first;
        for (int t = 0; t < n_tokens_ && n > 0 && !is_sandwich; ++t)
            kernels_.add(projected_ + t * model_stride_ + first, n, x_ + t * model_stride_ + first);
    });
    if (is_sandwich) {
        pool_.barrier();
        const Range range = thread_range(n_tokens_, thread, pool_.size());
        for (int t = range.begin; t < range.end; ++t) {
            float* row = projected_ + t * model_stride_;
            normalize(norm, row, row);
            kernels_.add(row, spec_.d_model, x_ + t * model_stride_);
        }
    }
}

void Forward::attention_block(int thread, const Batch& batch, int layer) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const bool is_parallel = spec_.placement == Placement::kParallel;
    const int writer = layer == 0 ? kEmbedding : layer - 1;
    const Activations x =
        is_parallel
            ? stage_norm(thread, w.attention_norm, writer, {&w.query, &w.key, &w.value, &w.gate, &w.up})
            : stage_norm(thread, w.attention_norm, writer, {&w.query, &w.key, &w.value});
    if (is_parallel) {
        // The first half of the feed-forward reads the same norm; the second half runs after attention.
        ffn_hidden(thread, w.gate, w.up, w.down, x, n_tokens_);
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
    const Activations mixed = stage_rows(thread, context_, query_stride_, spec_.n_query(), w.output.matrix);
    add_to_residual(thread, w.output, mixed, w.attention_output_norm);
    const bool is_overwritten = spec_.placement == Placement::kSandwich;  // by its norm
    tap(thread, is_overwritten ? Tap::kAttentionOutputNorm : Tap::kAttentionOutput, layer, projected_,
        model_stride_);
    if (!is_parallel) return;
    // Both products add to the same rows of the residual stream, and threads may get different row groups.
    pool_.barrier();
    add_to_residual(thread, w.down, {gate_, ff_stride_, ff_blocks_, 1}, w.ffn_output_norm);
    tap(thread, Tap::kFfnOutput, layer, projected_, model_stride_);
}

void Forward::attend(int thread, const Batch& batch, int layer) {
    rotate_and_store(thread, batch, layer);
    pool_.barrier();
    tap(thread, Tap::kKeyRotated, layer, k_, kv_stride_);
    if (has_taps_) record_attention(thread, batch, layer);
    const AttentionRule& rule = spec_.rules[static_cast<size_t>(layer)];
    const Attention::Io io = {q_, query_stride_, context_, query_stride_, attention_scratch_.data()};
    attention_.run(kernels_, batch.slices, layer, rule, io, pool_, thread);
    pool_.barrier();
    if (!attention_.is_split()) return;
    attention_.join(kernels_, batch.slices, rule, io, thread);
    pool_.barrier();
}

void Forward::rotate_and_store(int thread, const Batch& batch, int layer) {
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const int n_pairs = static_cast<int>(spec_.rope_frequencies.size());
    const int n_heads = spec_.n_heads + spec_.n_kv_heads;
    const auto prepare = [&](float* head, const float* gain, size_t row, int position) {
        if (gain != nullptr) kernels_.rms_norm(head, gain, spec_.norm_eps, spec_.d_head, head);
        if (const auto& [encoding, options] = spec_.head_rotation; encoding != nullptr)
            encoding->rotate(options, position, spec_.d_head, head);
        rope_rotate(spec_.rope_layout, cosines_ + row * n_pairs, sines_ + row * n_pairs, n_pairs, head);
    };
    for (const Slice& slice : batch.slices) {
        // Work items are (token, head) pairs, query heads before key heads.
        const Range range = thread_range(slice.n_tokens * n_heads, thread, pool_.size());
        for (int item = range.begin; item < range.end; ++item) {
            const int token = item / n_heads;
            const int head = item % n_heads;
            const size_t row = static_cast<size_t>(slice.first_row + token);
            const int position = slice.first_position + token;  // in the cache
            const int text_position = slice.n_dropped + position;
            if (head < spec_.n_heads) {
                float* q = q_ + row * query_stride_ + static_cast<size_t>(head) * spec_.d_head;
                prepare(q, w.query_norm, row, text_position);
                for (int k = 0; k < spec_.d_head; ++k) q[k] *= spec_.attention_scale;
            } else {
                const size_t at = static_cast<size_t>(head - spec_.n_heads) * spec_.d_head;
                float* key = k_ + row * kv_stride_ + at;
                prepare(key, w.key_norm, row, text_position);
                write_key(slice.cache, layer, head - spec_.n_heads, position, key);
                write_value(slice.cache, layer, head - spec_.n_heads, position, v_ + row * kv_stride_ + at);
            }
        }
    }
}

void Forward::ffn_block(int thread, int layer) {
    if (spec_.ffn == FfnKind::kMixture) return mixture_block(thread, layer);
    const LayerWeights& w = weights_.layers[static_cast<size_t>(layer)];
    const Activations x = stage_norm(thread, w.ffn_norm, layer, {&w.gate, &w.up});
    ffn_hidden(thread, w.gate, w.up, w.down, x, n_tokens_);
    pool_.barrier();
    tap(thread, Tap::kFfnNorm, layer, x.floats, x.float_stride);
    tap(thread, Tap::kUp, layer, up_, ff_stride_);
    tap_mutable(thread, Tap::kHidden, layer, gate_, ff_stride_, &w.down.matrix);
    add_to_residual(thread, w.down, {gate_, ff_stride_, ff_blocks_, 1}, w.ffn_output_norm);
    tap(thread, spec_.placement == Placement::kSandwich ? Tap::kFfnOutputNorm : Tap::kFfnOutput, layer,
        projected_, model_stride_);
}

void Forward::ffn_hidden(int thread, const Linear& gate, const Linear& up, const Linear& down,
                         const Activations& x, int n_rows) {
    // A thread computes the same rows of gate and up, in pairs of groups, so that it can combine them and
    // quantize complete blocks of 32 columns without a barrier.
    pool_.parallel_for((up.matrix.n_groups() + 1) / 2, thread, [&](int first_pair, int end_pair) {
        ffn_groups(gate, up, down, x, n_rows, 2 * first_pair, std::min(2 * end_pair, up.matrix.n_groups()));
    });
}

void Forward::ffn_groups(const Linear& gate, const Linear& up, const Linear& down, const Activations& x,
                         int n_rows, int begin, int end) {
    const bool is_gated = gate.matrix.data != nullptr;
    if (is_gated) multiply(kernels_, is_exact_, {&gate, gate_, ff_stride_}, x, n_rows, begin, end);
    multiply(kernels_, is_exact_, {&up, up_, ff_stride_}, x, n_rows, begin, end);
    const int first = begin * kGroupRows;
    const int n = std::min(end * kGroupRows, spec_.d_ff) - first;
    const int kind = static_cast<int>(spec_.activation);
    for (int t = 0; t < n_rows && n > 0; ++t) {
        float* hidden = gate_ + t * ff_stride_ + first;
        const float* up_row = up_ + t * ff_stride_ + first;
        if (is_gated) {
            kernels_.gate[kind](hidden, up_row, n, hidden);
        } else {
            kernels_.activate[kind](up_row, n, hidden);
        }
        if (uses_int8(down.matrix, is_exact_)) {
            const size_t row = static_cast<size_t>(t) * (spec_.d_ff / kBlockCols);
            kernels_.quantize(hidden, n, ff_blocks_ + row + first / kBlockCols);
        }
    }
}

void Forward::head(int thread, std::span<const int> rows, float* logits) {
    const int n_rows = static_cast<int>(rows.size());
    const size_t block_stride = static_cast<size_t>(spec_.d_model / kBlockCols) * kNormTerms;
    const Matrix& matrix = weights_.head.matrix;
    const Range range = thread_range(n_rows, thread, pool_.size());
    for (int r = range.begin; r < range.end; ++r) {
        float* row = normed_ + static_cast<size_t>(r) * model_stride_;
        const float* x = x_ + static_cast<size_t>(rows[static_cast<size_t>(r)]) * model_stride_;
        if (!spec_.has_final_norm) {
            std::memcpy(row, x, sizeof(float) * static_cast<size_t>(spec_.d_model));
        } else if (!normalize(weights_.final_norm, x, row)) {
            record_nonfinite(spec_.n_layers - 1);
        }
        if (spec_.head_scale != 1.0f) kernels_.scale(spec_.head_scale, spec_.d_model, row);
        if (uses_int8(matrix, is_exact_))
            kernels_.quantize_with_residual(row, spec_.d_model,
                                            blocks_ + static_cast<size_t>(r) * block_stride);
    }
    pool_.barrier();
    const size_t stride = static_cast<size_t>(padded(spec_.n_vocab));
    const Product product = {&weights_.head, logits, stride};
    pool_.parallel_for(matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, product, {normed_, model_stride_, blocks_, kNormTerms}, n_rows, begin,
                 end);
        if (spec_.head_softcap == 0.0f) return;
        const int first = begin * kGroupRows;
        const int n = std::min(end * kGroupRows, spec_.n_vocab) - first;
        for (int r = 0; r < n_rows && n > 0; ++r)
            kernels_.softcap_in_place(spec_.head_softcap, n,
                                      logits + static_cast<size_t>(r) * stride + first);
    });
}

}  // namespace zp
