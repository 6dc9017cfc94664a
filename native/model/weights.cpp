#include "model/weights.hpp"

#include <atomic>

#include "base/file.hpp"
#include "base/text.hpp"
#include "formats/gguf.hpp"
#include "kernels/packing.hpp"

namespace zp {

namespace {

struct Source {
    const GgufTensor* tensor;
    const uint8_t* bytes;
};

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
}

// Collects what has to be read, then reads it with every thread.
class Loader {
public:
    Loader(const ModelSpec& spec, const std::unordered_map<std::string, std::string>& names)
        : spec_(spec), names_(names) {}

    Status open(const std::vector<std::string>& paths);
    Status place();
    Status read(ThreadPool& pool);
    std::unique_ptr<Weights> take() { return std::move(weights_); }

private:
    struct MatrixTask {
        Matrix* target;
        Source source;
        uint8_t* out;
    };

    Result<Source> find(const std::string& name, const std::vector<uint64_t>& shape) const;
    Status matrix(const std::string& name, int rows, int cols, Matrix& target);
    Status vector(const std::string& name, int n, const float*& target);
    Status block(int layer);

    const ModelSpec& spec_;
    const std::unordered_map<std::string, std::string>& names_;
    std::vector<MappedFile> files_;
    std::vector<std::string> shown_;  // the paths, fit for a message
    std::vector<GgufHeader> headers_;
    std::unordered_map<std::string, Source> sources_;
    std::vector<MatrixTask> tasks_;
    std::unique_ptr<Weights> weights_ = std::make_unique<Weights>();
};

Status Loader::open(const std::vector<std::string>& paths) {
    headers_.reserve(paths.size());
    for (const std::string& path : paths) {
        Result<MappedFile> file = MappedFile::open(path);
        if (!file.ok()) return file.error();
        files_.push_back(std::move(file.value()));
        shown_.push_back(printable(path, 4096));
        const auto bytes = files_.back().bytes();
        Result<GgufHeader> header = parse_gguf(bytes, bytes.size());
        if (!header.ok()) return Error{header.error().fault, shown_.back() + ": " + header.error().message};
        headers_.push_back(std::move(header.value()));
        for (const GgufTensor& tensor : headers_.back().tensors) {
            const auto* data = reinterpret_cast<const uint8_t*>(bytes.data()) + tensor.offset;
            if (!sources_.emplace(tensor.name, Source{&tensor, data}).second)
                return invalid(shown_.back() + ": tensor " + printable(tensor.name) +
                               " is in two files of the model");
        }
    }
    return {};
}

Result<Source> Loader::find(const std::string& name, const std::vector<uint64_t>& shape) const {
    const auto file_name = names_.find(name);
    const std::string& stored = file_name == names_.end() ? name : file_name->second;
    const auto found = sources_.find(stored);
    if (found == sources_.end()) return invalid(shown_.front() + ": tensor " + stored + " is missing");
    if (found->second.tensor->shape != shape) {
        return invalid(shown_.front() + ": tensor " + stored + " has shape " +
                       shape_text(found->second.tensor->shape) + "; the metadata says " + shape_text(shape));
    }
    return found->second;
}

Status Loader::matrix(const std::string& name, int rows, int cols, Matrix& target) {
    const Result<Source> source = find(name, {static_cast<uint64_t>(rows), static_cast<uint64_t>(cols)});
    if (!source.ok()) return source.error();
    target = {source.value().tensor->format, rows, cols, nullptr};
    tasks_.push_back({&target, source.value(), nullptr});
    return {};
}

Status Loader::vector(const std::string& name, int n, const float*& target) {
    const Result<Source> source = find(name, {static_cast<uint64_t>(n)});
    if (!source.ok()) return source.error();
    const Format format = source.value().tensor->format;
    if (is_quantized(format)) return invalid(shown_.front() + ": tensor " + name + " must hold plain floats");
    Result<Buffer> buffer =
        Buffer::allocate(sizeof(float) * static_cast<size_t>(n), Pages::kSmall, "norm weights");
    if (!buffer.ok()) return buffer.error();
    float* out = static_cast<float*>(buffer.value().data());
    unpack_floats(format, source.value().bytes, static_cast<size_t>(n), out);
    target = out;
    weights_->buffers.push_back(std::move(buffer.value()));
    return {};
}

Status Loader::block(int layer) {
    LayerWeights& w = weights_->layers[static_cast<size_t>(layer)];
    const std::string at = "blocks." + std::to_string(layer) + ".";
    const int query_rows = spec_.n_heads * spec_.d_head;
    const int kv_rows = spec_.n_kv_heads * spec_.d_head;
    Status status = vector(at + "attention_norm.weight", spec_.d_model, w.attention_norm);
    if (status.ok()) status = matrix(at + "attention.query.weight", query_rows, spec_.d_model, w.query);
    if (status.ok()) status = matrix(at + "attention.key.weight", kv_rows, spec_.d_model, w.key);
    if (status.ok()) status = matrix(at + "attention.value.weight", kv_rows, spec_.d_model, w.value);
    if (status.ok()) status = matrix(at + "attention.output.weight", spec_.d_model, query_rows, w.output);
    if (status.ok()) status = vector(at + "ffn_norm.weight", spec_.d_model, w.ffn_norm);
    if (status.ok()) status = matrix(at + "ffn.gate.weight", spec_.d_ff, spec_.d_model, w.gate);
    if (status.ok()) status = matrix(at + "ffn.up.weight", spec_.d_ff, spec_.d_model, w.up);
    if (status.ok()) status = matrix(at + "ffn.down.weight", spec_.d_model, spec_.d_ff, w.down);
    return status;
}

Status Loader::place() {
    weights_->layers.resize(static_cast<size_t>(spec_.n_layers));
    Status status = matrix("embedding.weight", spec_.n_vocab, spec_.d_model, weights_->embedding);
    for (int layer = 0; status.ok() && layer < spec_.n_layers; ++layer) status = block(layer);
    if (status.ok()) status = vector("final_norm.weight", spec_.d_model, weights_->final_norm);
    if (status.ok() && !spec_.has_tied_head)
        status = matrix("head.weight", spec_.n_vocab, spec_.d_model, weights_->head);
    if (!status.ok()) return status;

    // One allocation for all matrices, each on a page of its own. The sum cannot overflow: every term is at
    // most the file's size plus 15 rows, and the file is mapped.
    size_t total = 0;
    std::vector<size_t> offsets;
    for (const MatrixTask& task : tasks_) {
        offsets.push_back(total);
        total += (task.target->n_bytes() + 4095) / 4096 * 4096;
    }
    Result<Buffer> buffer = Buffer::allocate(total, Pages::kHuge, "the model's weights");
    if (!buffer.ok()) return buffer.error();
    for (size_t i = 0; i < tasks_.size(); ++i) {
        tasks_[i].out = static_cast<uint8_t*>(buffer.value().data()) + offsets[i];
        tasks_[i].target->data = tasks_[i].out;
    }
    weights_->n_bytes = total;
    weights_->buffers.push_back(std::move(buffer.value()));
    return {};
}

Status Loader::read(ThreadPool& pool) {
    // A piece is some groups of a matrix; threads take pieces as they come free, since pages may have to
    // be read from the disk.
    constexpr int kGroupsAPiece = 64;
    struct Piece {
        const MatrixTask* task;
        int begin, end;
    };
    std::vector<Piece> pieces;
    for (const MatrixTask& task : tasks_)
        for (int g = 0; g < task.target->n_groups(); g += kGroupsAPiece)
            pieces.push_back({&task, g, std::min(g + kGroupsAPiece, task.target->n_groups())});
    std::atomic<size_t> next{0};
    pool.run([&](int) {
        for (size_t i = next++; i < pieces.size(); i = next++) {
            const Matrix& m = *pieces[i].task->target;
            for (int g = pieces[i].begin; g < pieces[i].end; ++g) {
                pack_group(m.format, pieces[i].task->source.bytes, static_cast<size_t>(m.rows),
                           static_cast<size_t>(m.cols), static_cast<size_t>(g),
                           pieces[i].task->out + static_cast<size_t>(g) * m.group_bytes());
            }
        }
    });
    for (size_t i = 0; i < files_.size(); ++i) {
        if (files_[i].damaged())
            return io_error(shown_[i] + " changed or was truncated while it was read; fetch it again");
    }
    if (spec_.has_tied_head) weights_->head = weights_->embedding;
    return {};
}

}  // namespace

Result<std::unique_ptr<Weights>> load_weights(const std::vector<std::string>& paths, const ModelSpec& spec,
                                              const std::unordered_map<std::string, std::string>& names,
                                              ThreadPool& pool) {
    Loader loader(spec, names);
    Status status = loader.open(paths);
    if (status.ok()) status = loader.place();
    if (status.ok()) status = loader.read(pool);
    if (!status.ok()) return status.error();
    return loader.take();
}

}  // namespace zp
