// The tensors of a model's GGUF files, found by our names.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.hpp"
#include "base/status.hpp"
#include "formats/gguf.hpp"
#include "model/weights.hpp"

namespace zp {

class TensorFiles {
public:
    // One of our tensors in its file.
    struct Source {
        const GgufTensor* tensor;
        const uint8_t* bytes;
        const MappedFile* file;
        std::vector<RowRun> runs;  // the rows that make up our tensor
        TensorChange change = TensorChange::kNone;
    };

    explicit TensorFiles(const TensorMap& names) : names_(names) {}

    // Maps the files and reads their headers. kInvalid if two of them have the same tensor.
    Status open(const std::vector<std::string>& paths);
    bool has(const std::string& name) const { return names_.contains(name); }
    // kInvalid for a missing tensor, and for one whose shape is not `shape`.
    Result<Source> find(const std::string& name, std::vector<uint64_t> shape) const;
    // An error of the model, after the name of its first file.
    Error refuse(const std::string& sentence) const {
        return invalid(printable_paths_.front() + ": " + sentence);
    }
    size_t header_bytes() const;
    // kIo if a file changed while it was read.
    Status check_undamaged() const;

private:
    const TensorMap& names_;
    std::vector<MappedFile> files_;
    std::vector<std::string> printable_paths_;
    std::vector<GgufHeader> headers_;
    std::unordered_map<std::string, Source> sources_;
};

// Number of values of a tensor.
size_t n_values(const std::vector<uint64_t>& shape);

}  // namespace zp
