// GGUF parser: header, metadata and tensor table (GGUF specification, v2 and v3).
// It takes bytes and a file size and returns ranges that are guaranteed to be inside the file. It allocates
// nothing based on a count in the file, follows no pointers and has no global state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "formats/format.hpp"
#include "formats/gguf_value.hpp"

namespace zp {

// Our own limits, each well above any published model; they bound memory to twice the file size.
inline constexpr uint64_t kMaxEntries = 1u << 16;      // metadata entries; models have about 40
inline constexpr uint64_t kMaxTensors = 1u << 17;      // models have up to about 2,000
inline constexpr uint64_t kMaxKeyBytes = 65535;        // the specification's limit
inline constexpr uint64_t kMaxNameBytes = 255;         // the specification says 64, some tools write more
inline constexpr uint64_t kMaxStringBytes = 1u << 24;  // one text; chat templates stay below 2^16
inline constexpr uint64_t kMaxArrayItems = 1u << 20;   // the largest list of merges has about 520,000
inline constexpr uint64_t kMaxArrayBytes = 1u << 25;   // and about 10 MB
inline constexpr uint64_t kMaxAlignment = 1u << 20;    // 32 in practice
inline constexpr uint32_t kMaxDims = 4;                // GGML_MAX_DIMS

struct GgufEntry {
    std::string key;
    GgufType type = GgufType::kU8;  // the declared type
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
    uint64_t file_bytes = 0;   // size of the file
    uint64_t data_offset = 0;  // start of the tensor data; past the end if there are no tensors
    std::vector<GgufEntry> metadata;
    std::vector<GgufTensor> tensors;  // in file order; their ranges are inside the file and do not overlap
};

// `head` is the file, or its first bytes up to at least the end of the tensor table; `file_bytes` is the file
// size. Errors name the field and the values it may have. If `head` is too short but the file is longer,
// `*needed_bytes` is set to a size that allows the parser to get further.
Result<GgufHeader> parse_gguf(std::span<const std::byte> head, uint64_t file_bytes,
                              uint64_t* needed_bytes = nullptr);

}  // namespace zp
