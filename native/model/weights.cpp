#include "model/weights.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "base/file.hpp"
#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "kernels/packing.hpp"
#include "model/weight_io.hpp"

namespace zp {

namespace {

// Memory of tokenizer construction as a multiple of the GGUF header: 23 MB for a header of 1.6 MB with 49,152
// tokens.
constexpr size_t kTokenizerBytesPerHeaderByte = 16;

struct Source {
    const GgufTensor* tensor;
    const uint8_t* bytes;
    const MappedFile* file;
    std::vector<RowRun> runs;
    TensorChange change = TensorChange::kNone;
};

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
}

size_t product(const std::vector<uint64_t>& shape) {
    size_t n = 1;
    for (const uint64_t dim : shape) n *= dim;
    return n;
}

// Whether runs of a tensor with n_stored rows are inside it and have n_rows in total.
bool covers(const std::vector<RowRun>& runs, int64_t n_stored, uint64_t n_rows) {
    uint64_t total = 0;
    for (const RowRun& run : runs) {
        if (run.first < 0 || run.n < 0 || run.first > n_stored || run.n > n_stored - run.first) return false;
        total += static_cast<uint64_t>(run.n);
    }
    return total == n_rows;
}

// Collects the tensors to read, then reads them on all threads. After the first failure, further requests do
// nothing.
class Loader final : public TensorLoader {
public:
    Loader(const ModelSpec& spec, const TensorMap& names) : spec_(spec), names_(names) {}

    Status open(const std::vector<std::string>& paths);
    Status place();
    Status read(ThreadPool& pool, const LoadGate* load_gate);
    std::unique_ptr<Weights> take() { return std::move(weights_); }

    bool has(const std::string& name) const override { return names_.contains(name); }
    void linear(const std::string& name, int rows, int cols, Linear& target) override;
    void floats(const std::string& name, std::vector<uint64_t> shape, const float*& target) override;

private:
    std::optional<Source> find(const std::string& name, std::vector<uint64_t> shape);
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
    const TensorMap& names_;
    Status status_;
    std::vector<MappedFile> files_;
    std::vector<std::string> printable_paths_;
    std::vector<GgufHeader> headers_;
    std::unordered_map<std::string, Source> sources_;
    std::vector<MatrixLoad> loads_;
    std::unique_ptr<Weights> weights_ = std::make_unique<Weights>();
};

Status Loader::open(const std::vector<std::string>& paths) {
    headers_.reserve(paths.size());
    files_.reserve(paths.size());  // sources point at them
    for (const std::string& path : paths) {
        Result<MappedFile> file = MappedFile::open(path);
        if (!file.ok()) return file.error();
        files_.push_back(std::move(file.value()));
        printable_paths_.push_back(printable(path, 4096));
        const auto bytes = files_.back().bytes();
        Result<GgufHeader> header = parse_gguf(bytes, bytes.size());
        if (!header.ok())
            return Error{header.error().fault, printable_paths_.back() + ": " + header.error().message};
        headers_.push_back(std::move(header.value()));
        // Only the tensor table is needed here.
        headers_.back().metadata = {};
        files_.back().drop_pages(bytes.data(), static_cast<size_t>(headers_.back().data_offset));
        for (const GgufTensor& tensor : headers_.back().tensors) {
            const auto* data = reinterpret_cast<const uint8_t*>(bytes.data()) + tensor.offset;
            if (!sources_.emplace(tensor.name, Source{&tensor, data, &files_.back(), {}}).second)
                return invalid(printable_paths_.back() + ": tensor " + printable(tensor.name) +
                               " is in two files of the model");
        }
    }
    return {};
}

std::optional<Source> Loader::find(const std::string& name, std::vector<uint64_t> shape) {
    if (!status_.ok()) return std::nullopt;
    const auto mapped = names_.find(name);
    const StoredTensor stored = mapped == names_.end() ? StoredTensor{name, {}} : mapped->second;
    const auto source_at = sources_.find(stored.name);
    if (source_at == sources_.end()) {
        status_ = invalid(printable_paths_.front() + ": tensor " + stored.name + " is missing");
        return std::nullopt;
    }
    Source source = source_at->second;
    source.change = stored.change;
    source.runs = stored.runs;
    if (source.runs.empty()) {
        source.runs.push_back({0, static_cast<int64_t>(shape[0])});
    } else if (!covers(source.runs, stored.n_rows, shape[0])) {
        status_ = invalid(printable_paths_.front() + ": tensor " + stored.name +
                          " does not have the rows of " + name);
        return std::nullopt;
    } else {
        shape[0] = static_cast<uint64_t>(stored.n_rows);
    }
    const bool is_equal = source.change == TensorChange::kNone
                              ? source.tensor->shape == shape
                              : product(source.tensor->shape) == product(shape);
    if (!is_equal) {
        status_ = invalid(printable_paths_.front() + ": tensor " + stored.name + " has shape " +
                          shape_text(source.tensor->shape) + "; the metadata says " + shape_text(shape));
        return std::nullopt;
    }
    return source;
}

void Loader::matrix(const std::string& name, int rows, int cols, Matrix& target) {
    auto source = find(name, {static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)});
    if (!source) return;
    if (source->change != TensorChange::kNone) {
        status_ = invalid(printable_paths_.front() + ": tensor " + name + " is not a matrix as it is stored");
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
        status_ = invalid(printable_paths_.front() + ": tensor " + name + " must be stored as plain floats");
        return;
    }
    const size_t n = product(shape);
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
    size_t held_bytes = 0;
    for (const GgufHeader& header : headers_) held_bytes += kTokenizerBytesPerHeaderByte * header.data_offset;
    if (Status status = read_matrices(loads_, pool, load_gate, held_bytes); !status.ok()) return status;
    for (size_t i = 0; i < files_.size(); ++i) {
        if (files_[i].damaged())
            return io_error(printable_paths_[i] +
                            " changed or was truncated while it was read; fetch it again");
    }
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
