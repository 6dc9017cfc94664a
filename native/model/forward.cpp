#include "model/forward.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "kernels/packing.hpp"
#include "ops/position/rope.hpp"

namespace zp {

namespace {

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
    forward->collect_attention_sizes();
    return forward;
}

Status Forward::allocate() {
    const int max_ff = spec_.max_of([](const LayerSpec& l) { return std::max(l.ffn.d_ff, l.ffn.d_shared); });
    const bool has_gates =
        spec_.max_of([](const LayerSpec& l) { return l.attention.has_output_gate ? 1 : 0; }) > 0;
    ones_.assign(static_cast<size_t>(spec_.max_of([](const LayerSpec& l) { return l.attention.d_head; })),
                 1.0f);
    const int max_experts = spec_.max_of([](const LayerSpec& l) { return l.ffn.n_experts; });
    model_stride_ = static_cast<size_t>(padded(spec_.d_model));
    query_stride_ =
        static_cast<size_t>(padded(spec_.max_of([](const LayerSpec& l) { return l.attention.n_query(); })));
    kv_stride_ =
        static_cast<size_t>(padded(spec_.max_of([](const LayerSpec& l) { return l.attention.n_kv(); })));
    ff_stride_ = static_cast<size_t>(padded(std::max(max_ff, spec_.d_per_layer)));
    per_layer_stride_ = static_cast<size_t>(padded(spec_.n_layers() * spec_.d_per_layer));
    const size_t max_width = std::max({model_stride_, query_stride_, collect_recurrence_widths(),
                                       static_cast<size_t>(padded(spec_.d_per_layer))});
    const size_t n_threads = static_cast<size_t>(pool_.max_threads());
    private_float_stride_ = kPrivateRows * max_width;
    private_block_stride_ = kPrivateRows * kNormTerms * blocks_for(static_cast<int>(max_width));
    constexpr size_t kRows = Batch::kMaxTokens;
    struct Allocation {
        void** target;
        size_t n_bytes;
    };
    const Allocation allocations[] = {
        {reinterpret_cast<void**>(&x_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&projected_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&normed_), kRows * model_stride_ * 4},
        {reinterpret_cast<void**>(&q_), kRows * query_stride_ * 4},
        {reinterpret_cast<void**>(&k_), kRows * kv_stride_ * 4},
        {reinterpret_cast<void**>(&v_), kRows * kv_stride_ * 4},
        {reinterpret_cast<void**>(&context_), kRows * query_stride_ * 4},
        {reinterpret_cast<void**>(&gates_), has_gates ? kRows * query_stride_ * 4 : 0},
        {reinterpret_cast<void**>(&gate_), kRows * ff_stride_ * 4},
        {reinterpret_cast<void**>(&up_), kRows * ff_stride_ * 4},
        {reinterpret_cast<void**>(&blocks_),
         kRows * kNormTerms * blocks_for(static_cast<int>(max_width)) * sizeof(QuantBlock)},
        {reinterpret_cast<void**>(&ff_blocks_), kRows * blocks_for(max_ff) * sizeof(QuantBlock)},
        {reinterpret_cast<void**>(&router_logits_), kRows * static_cast<size_t>(padded(max_experts)) * 4},
        {reinterpret_cast<void**>(&expert_floats_), max_experts > 0 ? kRows * model_stride_ * 4 : 0},
        {reinterpret_cast<void**>(&expert_blocks_),
         max_experts > 0 ? kRows * kNormTerms * blocks_for(spec_.d_model) * sizeof(QuantBlock) : 0},
        {reinterpret_cast<void**>(&per_layer_), kRows * per_layer_stride_ * 4},
        {reinterpret_cast<void**>(&per_layer_table_), n_threads * per_layer_stride_ * 4},
        {reinterpret_cast<void**>(&private_floats_), n_threads * private_float_stride_ * 4},
        {reinterpret_cast<void**>(&private_blocks_), n_threads * private_block_stride_ * sizeof(QuantBlock)},
    };
    for (const Allocation& a : allocations)
        if (Status status = allocate_buffer(a.n_bytes, a.target); !status.ok()) return status;
    return allocate_for_layers();
}

Status Forward::allocate_for_layers() {
    constexpr size_t kRows = Batch::kMaxTokens;
    angles_.resize(spec_.rotations.size());
    for (size_t i = 0; i < angles_.size(); ++i) {
        const size_t n_bytes = kRows * spec_.rotations[i].frequencies.size() * 4;
        for (float** target : {&angles_[i].cosines, &angles_[i].sines})
            if (Status status = allocate_buffer(n_bytes, reinterpret_cast<void**>(target)); !status.ok())
                return status;
    }
    for (size_t i = 0; i < recurrence_strides_.size(); ++i) {
        void** const target = reinterpret_cast<void**>(&recurrence_buffers_[i]);
        if (Status status = allocate_buffer(kRows * recurrence_strides_[i] * 4, target); !status.ok())
            return status;
    }
    return allocate_buffer(kRows * shared_stride_ * 4, reinterpret_cast<void**>(&shared_));
}

Status Forward::allocate_buffer(size_t n_bytes, void** target) {
    Result<Buffer> buffer = Buffer::allocate(n_bytes, Pages::kSmall, "the model's activations");
    if (!buffer.ok()) return buffer.error();
    *target = buffer.value().data();
    buffers_.push_back(std::move(buffer.value()));
    return {};
}

size_t Forward::collect_recurrence_widths() {
    size_t widest = 0;
    for (const LayerSpec& layer : spec_.layers) {
        if (layer.has_attention()) continue;
        const std::vector<int> widths = layer.recurrence->buffer_widths(spec_.d_model);
        if (recurrence_strides_.size() < widths.size()) recurrence_strides_.resize(widths.size());
        for (size_t i = 0; i < widths.size(); ++i) {
            const size_t stride = static_cast<size_t>(padded(widths[i]));
            recurrence_strides_[i] = std::max(recurrence_strides_[i], stride);
            widest = std::max(widest, stride);
        }
        const int shared_width = layer.recurrence->shared_width(spec_.d_model);
        shared_stride_ = std::max(shared_stride_, static_cast<size_t>(padded(shared_width)));
    }
    recurrence_buffers_.resize(recurrence_strides_.size());
    return widest;
}

void Forward::collect_attention_sizes() {
    for (const LayerSpec& layer : spec_.layers) {
        const AttentionSizes sizes = layer.attention.sizes();
        const auto found = std::find(attention_sizes_.begin(), attention_sizes_.end(), sizes);
        attention_at_.push_back(static_cast<size_t>(found - attention_sizes_.begin()));
        if (!layer.has_attention()) continue;
        if (found == attention_sizes_.end()) attention_sizes_.push_back(sizes);
    }
    attention_.resize(attention_sizes_.size());
}

Status Forward::run(const Batch& batch, std::span<float> logits, const std::function<bool()>& interrupt) {
    n_tokens_ = static_cast<int>(batch.tokens.size());
    nonfinite_layer_ = kNoLayer;
    is_cancelled_ = false;
    prepare_taps(batch);
    const bool is_short = n_tokens_ <= kShortRows;
    pool_.set_size(is_short ? adaptive_threads_.n_threads() : pool_.max_threads());
    for (size_t i = 0; i < attention_.size(); ++i) {
        attention_[i].plan(batch.slices, attention_sizes_[i], pool_.size());
        attention_scratch_.resize(std::max(attention_scratch_.size(), attention_[i].scratch_floats()));
    }
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
    if (spec_.d_per_layer > 0) per_layer_inputs(thread, batch);
    for (int layer = 0; layer < spec_.n_layers(); ++layer) {
        const LayerSpec& spec = spec_.layer(layer);
        const bool has_ffn = spec.ffn.kind != FfnKind::kNone;
        if (spec.has_attention()) {
            attention_block(thread, batch, layer);
        } else {
            recurrence_block(thread, batch, layer);
        }
        pool_.barrier();
        if (spec.placement != Placement::kParallel) {
            tap_mutable(thread, spec.has_attention() ? Tap::kAfterAttention : Tap::kAfterRecurrence, layer,
                        x_, model_stride_);
            if (has_ffn) ffn_block(thread, batch, layer);
        }
        if (thread == 0 && interrupt && interrupt()) is_cancelled_ = true;
        pool_.barrier();
        if (is_cancelled_) return;
        if (has_ffn) tap_mutable(thread, Tap::kAfterFfn, layer, x_, model_stride_);
        if (spec_.has_finish(layer)) finish_block(thread, layer);
        if (has_taps_) record_lens(thread, layer);
    }
    if (!batch.output_rows.empty()) head(thread, batch.output_rows, logits);
}

void Forward::embed(int thread, const Batch& batch) {
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
        if (!normalize(spec_.embedding_norm, weights_.embedding_norm, spec_.d_model, row, row))
            record_nonfinite(kEmbedding);
        compute_angles(static_cast<size_t>(t), position);
    }
}

void Forward::compute_angles(size_t t, int position) {
    for (size_t i = 0; i < angles_.size(); ++i) {
        const Rotation& rotation = spec_.rotations[i];
        const int n_pairs = rotation.n_pairs();
        float* cosines = angles_[i].cosines + t * n_pairs;
        float* sines = angles_[i].sines + t * n_pairs;
        rope_angles(rotation.frequencies.data(), n_pairs, position, cosines, sines);
        if (rotation.factor == 1.0f) continue;
        kernels_.scale(rotation.factor, n_pairs, cosines);
        kernels_.scale(rotation.factor, n_pairs, sines);
    }
}

bool Forward::normalize(const NormSpec& spec, const Norm& norm, int width, const float* x, float* y) const {
    switch (spec.kind) {
        case NormKind::kRms:
            return kernels_.rms_norm(x, norm.gain, spec.eps, width, y);
        case NormKind::kLayer:
            return kernels_.layer_norm(x, norm.gain, norm.bias, spec.eps, width, y);
        default:
            if (x != y) std::memcpy(y, x, sizeof(float) * static_cast<size_t>(width));
            return true;
    }
}

void Forward::record_nonfinite(int layer) {
    int none = kNoLayer;
    nonfinite_layer_.compare_exchange_strong(none, layer);
}

Activations Forward::stage_norm(int thread, const NormSpec& spec, const Norm& norm, int writer,
                                std::span<const Linear* const> readers) {
    const bool is_private = n_tokens_ <= kPrivateRows;
    float* floats = is_private ? private_floats_ + thread * private_float_stride_ : normed_;
    QuantBlock* blocks = is_private ? private_blocks_ + thread * private_block_stride_ : blocks_;
    const bool has_block_reader = std::any_of(
        readers.begin(), readers.end(), [&](const Linear* l) { return uses_int8(l->matrix, is_exact_); });
    const Range range = is_private ? Range{0, n_tokens_} : thread_range(n_tokens_, thread, pool_.size());
    const size_t block_stride = static_cast<size_t>(spec_.d_model / kBlockCols) * kNormTerms;
    for (int t = range.begin; t < range.end; ++t) {
        float* row = floats + t * model_stride_;
        if (!normalize(spec, norm, spec_.d_model, x_ + t * model_stride_, row)) record_nonfinite(writer);
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

void Forward::add_to_residual(int thread, int layer, const Linear& weight, const Activations& x,
                              const Norm& norm) {
    const LayerSpec& spec = spec_.layer(layer);
    const bool has_norm = has_output_norm(spec.placement);
    const auto add = [&](const float* from, int n, float* to) {
        if (spec.residual_scale == 1.0f) {
            kernels_.add(from, n, to);
        } else {
            kernels_.add_scaled(from, spec.residual_scale, n, to);
        }
    };
    pool_.parallel_for(weight.matrix.n_groups(), thread, [&](int begin, int end) {
        multiply(kernels_, is_exact_, {&weight, projected_, model_stride_}, x, n_tokens_, begin, end);
        const int first = begin * kGroupRows;
        const int n = std::min(end * kGroupRows, spec_.d_model) - first;
        for (int t = 0; t < n_tokens_ && n > 0 && !has_norm; ++t)
            add(projected_ + t * model_stride_ + first, n, x_ + t * model_stride_ + first);
    });
    if (has_norm) {
        pool_.barrier();
        const Range range = thread_range(n_tokens_, thread, pool_.size());
        for (int t = range.begin; t < range.end; ++t) {
            float* row = projected_ + t * model_stride_;
            if (!normalize(spec.norm, norm, spec_.d_model, row, row)) record_nonfinite(layer);
            add(row, spec_.d_model, x_ + t * model_stride_);
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
        if (!normalize(spec_.final_norm, weights_.final_norm, spec_.d_model, x, row))
            record_nonfinite(spec_.n_layers() - 1);
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
