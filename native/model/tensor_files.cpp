#include "model/tensor_files.hpp"

#include "base/text.hpp"

namespace zp {

namespace {

std::string shape_text(const std::vector<uint64_t>& shape) {
    std::string text = "[";
    for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    return text + "]";
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

}  // namespace

size_t n_values(const std::vector<uint64_t>& shape) {
    size_t n = 1;
    for (const uint64_t dim : shape) n *= dim;
    return n;
}

Status TensorFiles::open(const std::vector<std::string>& paths) {
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

Result<TensorFiles::Source> TensorFiles::find(const std::string& name, std::vector<uint64_t> shape) const {
    const auto mapped = names_.find(name);
    const StoredTensor stored = mapped == names_.end() ? StoredTensor{name, {}} : mapped->second;
    const auto source_at = sources_.find(stored.name);
    if (source_at == sources_.end()) {
        return refuse("tensor " + stored.name + " is missing");
    }
    Source source = source_at->second;
    source.change = stored.change;
    source.runs = stored.runs;
    if (source.runs.empty()) {
        source.runs.push_back({0, static_cast<int64_t>(shape[0])});
    } else if (!covers(source.runs, stored.n_rows, shape[0])) {
        return refuse("tensor " + stored.name + " does not have the rows of " + name);
    } else {
        shape[0] = static_cast<uint64_t>(stored.n_rows);
    }
    const bool is_equal = source.change == TensorChange::kNone
                              ? source.tensor->shape == shape
                              : n_values(source.tensor->shape) == n_values(shape);
    if (!is_equal) {
        return refuse("tensor " + stored.name + " has shape " + shape_text(source.tensor->shape) +
                      "; the metadata says " + shape_text(shape));
    }
    return source;
}

size_t TensorFiles::header_bytes() const {
    size_t n_bytes = 0;
    for (const GgufHeader& header : headers_) n_bytes += header.data_offset;
    return n_bytes;
}

Status TensorFiles::check_undamaged() const {
    for (size_t i = 0; i < files_.size(); ++i)
        if (files_[i].damaged())
            return io_error(printable_paths_[i] +
                            " changed or was truncated while it was read; fetch it again");
    return {};
}

}  // namespace zp
