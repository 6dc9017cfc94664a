#include "model/weights.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/packing.hpp"
#include "model/tensor_files.hpp"
#include "model/weight_io.hpp"

namespace zp {

namespace {

// Memory of tokenizer construction as a multiple of the GGUF header: 23 MB for a header of 1.6 MB with 49,152
// tokens.
constexpr size_t kTokenizerBytesPerHeaderByte = 16;

// Collects the tensors to read, then reads them on all threads. After the first failure, further requests do
// nothing.
class Loader final : public TensorLoader {
public:
    Loader(const ModelSpec& spec, const TensorMap& names) : spec_(spec), files_(names) {}

    Status open(const std::vector<std::string>& paths) { return files_.open(paths); }
    Status place();
    Status read(ThreadPool& pool, const LoadGate* load_gate);
    std::unique_ptr<Weights> take() { return std::move(weights_); }

    bool has(const std::string& name) const override { return files_.has(name); }
    void linear(const std::string& name, int rows, int cols, Linear& target) override;
    void floats(const std::string& name, std::vector<uint64_t> shape, const float*& target) override;

private:
    // Nothing after a failure, which it records.
    std::optional<TensorFiles::Source> find(const std::string& name, std::vector<uint64_t> shape);
    void matrix(const std::string& name, int rows, int cols, Matrix& target);
    // A norm of rows of `width` columns.
    void norm(const std::string& name, const NormSpec& spec, int width, Norm& target);
    void experts(const std::string& name, int n_experts, int rows, int cols, std::vector<Linear>& targets);
    void block(int layer);
    void attention(const std::string& at, const AttentionSpec& spec, LayerWeights& w);
    void ffn(const std::string& at, const FfnSpec& spec, LayerWeights& w);
    void mixture(const std::string& at, const FfnSpec& spec, LayerWeights& w);
    Status allocate();

    const ModelSpec& spec_;
    TensorFiles files_;
    Status status_;
    std::vector<MatrixLoad> loads_;
    std::unique_ptr<Weights> weights_ = std::make_unique<Weights>();
};

std::optional<TensorFiles::Source> Loader::find(const std::string& name, std::vector<uint64_t> shape) {
    if (!status_.ok()) return std::nullopt;
    Result<TensorFiles::Source> found = files_.find(name, std::move(shape));
    if (found.ok()) return std::move(found.value());
    status_ = found.error();
    return std::nullopt;
}

void Loader::matrix(const std::string& name, int rows, int cols, Matrix& target) {
    auto source = find(name, {static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)});
    if (!source) return;
    if (source->change != TensorChange::kNone) {
        status_ = files_.refuse("tensor " + name + " is not a matrix as it is stored");
        return;
    }
    target = {source->tensor->format, rows, cols, nullptr};
    loads_.push_back({&target, source->file, source->bytes, std::move(source->runs)});
}

void Loader::floats(const std::string& name, std::vector<uint64_t> shape, const float*& target) {
    const auto source = find(name, shape);
    if (!source) return;
    const Format format = source->tensor->format;
    if (is_quantized(format)) {
        status_ = files_.refuse("tensor " + name + " must be stored as plain floats");
        return;
    }
    const size_t n = n_values(shape);
    Result<Buffer> buffer = Buffer::allocate(sizeof(float) * n, Pages::kSmall, "the model's weights");
    if (!buffer.ok()) {
        status_ = buffer.error();
        return;
    }
    // Copied, as matrices are: touching a page of the mapping may load two megabytes around it.
    const size_t n_bytes = info(format).block_bytes * n;
    Result<Buffer> stored = Buffer::allocate(n_bytes, Pages::kSmall, "the model's weights");
    if (!stored.ok()) {
        status_ = stored.error();
        return;
    }
    // Of a reshaped tensor, all rows are read, as one.
    const bool is_whole = source->change != TensorChange::kNone;
    const RowRun whole{0, 1};
    copy_rows(*source->file, source->bytes, is_whole ? std::span(&whole, 1) : std::span(source->runs),
              is_whole ? n_bytes : n_bytes / shape[0], 0, is_whole ? 1 : static_cast<int64_t>(shape[0]),
              static_cast<uint8_t*>(stored.value().data()));
    float* out = static_cast<float*>(buffer.value().data());
    unpack_floats(format, static_cast<const uint8_t*>(stored.value().data()), n, out);
    for (size_t i = 0; source->change == TensorChange::kLogOfNegative && i < n; ++i)
        out[i] = std::log(-out[i]);
    target = out;
    weights_->buffers.push_back(std::move(buffer.value()));
}

void Loader::linear(const std::string& name, int rows, int cols, Linear& target) {
    matrix(name + ".weight", rows, cols, target.matrix);
    if (has(name + ".bias")) floats(name + ".bias", {static_cast<uint64_t>(rows)}, target.bias);
}

void Loader::norm(const std::string& name, const NormSpec& spec, int width, Norm& target) {
    if (spec.kind == NormKind::kNone) return;
    floats(name + ".weight", {static_cast<uint64_t>(width)}, target.gain);
    if (has(name + ".bias")) floats(name + ".bias", {static_cast<uint64_t>(width)}, target.bias);
}

void Loader::experts(const std::string& name, int n_experts, int rows, int cols,
                     std::vector<Linear>& targets) {
    const uint64_t n = static_cast<uint64_t>(n_experts);
    if (has(name + ".0.weight")) {  // one tensor per expert
        targets.resize(n);
        for (uint64_t e = 0; e < n; ++e)
            matrix(name + "." + std::to_string(e) + ".weight", rows, cols, targets[e].matrix);
        return;
    }
    const auto source = find(name + ".weight", {n, static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)});
    if (!source) return;
    targets.resize(n);
    for (uint64_t e = 0; e < n; ++e) {
        targets[e].matrix = {source->tensor->format, rows, cols, nullptr};
        loads_.push_back(
            {&targets[e].matrix, source->file, source->bytes + source->tensor->n_bytes / n * e, {{0, rows}}});
    }
    if (!has(name + ".bias")) return;
    const float* biases = nullptr;
    floats(name + ".bias", {n, static_cast<uint64_t>(rows)}, biases);
    for (uint64_t e = 0; e < n && biases != nullptr; ++e)
        targets[e].bias = biases + e * static_cast<uint64_t>(rows);
}

void Loader::mixture(const std::string& at, const FfnSpec& spec, LayerWeights& w) {
    const int n = spec.n_experts;
    linear(at + "ffn.router", n, spec_.d_model, w.router);
    experts(at + "ffn.experts.gate", n, spec.d_ff, spec_.d_model, w.expert_gate);
    experts(at + "ffn.experts.up", n, spec.d_ff, spec_.d_model, w.expert_up);
    experts(at + "ffn.experts.down", n, spec_.d_model, spec.d_ff, w.expert_down);
    if (spec.d_shared == 0) return;
    linear(at + "ffn.shared.gate", spec.d_shared, spec_.d_model, w.shared_gate);
    linear(at + "ffn.shared.up", spec.d_shared, spec_.d_model, w.shared_up);
    linear(at + "ffn.shared.down", spec_.d_model, spec.d_shared, w.shared_down);
}

void Loader::attention(const std::string& at, const AttentionSpec& spec, LayerWeights& w) {
    const int query_width = spec.has_joint_query_key_norm ? spec.n_query() : spec.d_head;
    const int key_width = spec.has_joint_query_key_norm ? spec.n_kv() : spec.d_head;
    linear(at + "query", spec.n_query(), spec_.d_model, w.query);
    norm(at + "query_norm", spec.query_key_norm, query_width, w.query_norm);
    if (spec.has_output_gate) linear(at + "gate", spec.n_query(), spec_.d_model, w.context_gate);
    if (spec.has_sink) floats(at + "sink.weight", {static_cast<uint64_t>(spec.n_heads)}, w.sink);
    linear(at + "output", spec_.d_model, spec.n_query(), w.output);
    if (!spec.has_keys()) return;
    linear(at + "key", spec.n_kv(), spec_.d_model, w.key);
    linear(at + "value", spec.n_kv(), spec_.d_model, w.value);
    norm(at + "key_norm", spec.query_key_norm, key_width, w.key_norm);
}

void Loader::ffn(const std::string& at, const FfnSpec& spec, LayerWeights& w) {
    if (spec.kind == FfnKind::kMixture) return mixture(at, spec, w);
    if (spec.kind == FfnKind::kGated) linear(at + "ffn.gate", spec.d_ff, spec_.d_model, w.gate);
    if (spec.is_shifted) floats(at + "ffn.shift", {static_cast<uint64_t>(spec_.d_model)}, w.ffn_shift);
    linear(at + "ffn.up", spec.d_ff, spec_.d_model, w.up);
    linear(at + "ffn.down", spec_.d_model, spec.d_ff, w.down);
}

void Loader::block(int layer) {
    const LayerSpec& spec = spec_.layer(layer);
    LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
    const std::string at = "blocks." + std::to_string(layer) + ".";
    const std::string mixer = at + (spec.has_attention() ? "attention" : "recurrence");
    if (has_input_norm(spec.placement)) norm(mixer + "_norm", spec.norm, spec_.d_model, w.mixer_norm);
    if (spec.has_attention()) {
        attention(mixer + ".", spec.attention, w);
    } else {
        w.recurrence = spec.recurrence->load(*this, mixer + ".", spec_.d_model);
    }
    if (has_output_norm(spec.placement))
        norm(mixer + "_output_norm", spec.norm, spec_.d_model, w.mixer_output_norm);
    if (spec_.d_per_layer > 0) {
        linear(at + "per_layer.gate", spec_.d_per_layer, spec_.d_model, w.per_layer_gate);
        linear(at + "per_layer.projection", spec_.d_model, spec_.d_per_layer, w.per_layer_projection);
        norm(at + "per_layer_norm", spec.norm, spec_.d_model, w.per_layer_norm);
    }
    if (spec.has_output_scale) floats(at + "output_scale.weight", {1}, w.output_scale);
    if (spec.ffn.kind == FfnKind::kNone) return;
    if (has_input_norm(spec.placement) && spec.placement != Placement::kParallel)
        norm(at + "ffn_norm", spec.norm, spec_.d_model, w.ffn_norm);
    if (has_output_norm(spec.placement))
        norm(at + "ffn_output_norm", spec.norm, spec_.d_model, w.ffn_output_norm);
    ffn(at, spec.ffn, w);
}

Status Loader::place() {
    weights_->layers.resize(spec_.layers.size());
    matrix("embedding.weight", spec_.n_vocab, spec_.d_model, weights_->embedding);
    if (spec_.n_positions > 0) {
        floats("embedding.position.weight",
               {static_cast<uint64_t>(spec_.n_positions), static_cast<uint64_t>(spec_.d_model)},
               weights_->positions);
    }
    norm("embedding.norm", spec_.embedding_norm, spec_.d_model, weights_->embedding_norm);
    if (spec_.d_per_layer > 0) {
        const int width = spec_.n_layers() * spec_.d_per_layer;
        matrix("embedding.per_layer.weight", spec_.n_vocab, width, weights_->per_layer_embedding);
        linear("embedding.per_layer_projection", width, spec_.d_model, weights_->per_layer_projection);
        norm("embedding.per_layer_norm", spec_.layer(0).norm, spec_.d_per_layer, weights_->per_layer_norm);
    }
    for (int layer = 0; layer < spec_.n_layers(); ++layer) block(layer);
    norm("final_norm", spec_.final_norm, spec_.d_model, weights_->final_norm);
    if (!spec_.has_tied_head) matrix("head.weight", spec_.n_vocab, spec_.d_model, weights_->head.matrix);
    if (has("head.bias")) floats("head.bias", {static_cast<uint64_t>(spec_.n_vocab)}, weights_->head.bias);
    return status_.ok() ? allocate() : status_;
}

Status Loader::allocate() {
    trim_heap();
    // One allocation for all matrices, each aligned to a page. The sum cannot overflow: every term is at most
    // the size of the mapped file plus 15 rows.
    size_t total = 0;
    std::vector<size_t> offsets;
    for (const MatrixLoad& load : loads_) {
        offsets.push_back(total);
        total += (load.target->n_bytes() + 4095) / 4096 * 4096;
    }
    Result<Buffer> buffer = Buffer::allocate(total, Pages::kHuge, "the model's weights");
    if (!buffer.ok()) return buffer.error();
    for (size_t i = 0; i < loads_.size(); ++i) {
        loads_[i].out = static_cast<uint8_t*>(buffer.value().data()) + offsets[i];
        loads_[i].target->data = loads_[i].out;
    }
    weights_->n_bytes = total;
    weights_->buffers.push_back(std::move(buffer.value()));
    return {};
}

Status Loader::read(ThreadPool& pool, const LoadGate* load_gate) {
    const size_t held_bytes = kTokenizerBytesPerHeaderByte * files_.header_bytes();
    if (Status status = read_matrices(loads_, pool, load_gate, held_bytes); !status.ok()) return status;
    if (Status status = files_.check_undamaged(); !status.ok()) return status;
    if (spec_.has_tied_head) weights_->head.matrix = weights_->embedding;
    return {};
}

}  // namespace

Result<std::unique_ptr<Weights>> load_weights(const std::vector<std::string>& paths, const ModelSpec& spec,
                                              const TensorMap& names, ThreadPool& pool,
                                              const LoadGate* load_gate) {
    Loader loader(spec, names);
    Status status = loader.open(paths);
    if (status.ok()) status = loader.place();
    if (status.ok()) status = loader.read(pool, load_gate);
    if (!status.ok()) return status.error();
    return loader.take();
}

}  // namespace zp
