// The GGUF file as checked numbers: header, metadata and tensor table (GGUF specification, v2 and v3).
// The parser takes bytes and a file size and returns ranges that are known to lie inside the file.
// It allocates nothing from a count in the file, follows no pointer and has no global state.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.hpp"
#include "formats/format.hpp"

namespace zp {

struct GgufArray;

// One metadata value. Integers keep their sign; arrays hold one element type.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

struct GgufArray {
    std::variant<std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>, std::vector<bool>,
                 std::vector<std::string>>
        items;
};

struct GgufEntry {
    std::string key;
    GgufValue value;
};

struct GgufTensor {
    std::string name;
    Format format = Format::kF32;
    std::vector<uint64_t> shape;  // torch order: the last axis is contiguous
    uint64_t offset = 0;          // from the start of the file
    uint64_t n_bytes = 0;
};

struct GgufHeader {
    uint32_t version = 0;
    uint64_t data_offset = 0;
    std::vector<GgufEntry> metadata;
    std::vector<GgufTensor> tensors;
};

// `head` is the file, or its first bytes up to at least the end of the tensor table;
// `file_bytes` is the size of the whole file. Errors name the field and what it would have to be.
Result<GgufHeader> parse_gguf(std::span<const std::byte> head, uint64_t file_bytes);

}  // namespace zp
