// Reads values that the parser has validated; they are unaligned, hence memcpy.
#include "formats/gguf_value.hpp"

#include <bit>
#include <cstring>
#include <iterator>

namespace zp {

static_assert(std::endian::native == std::endian::little, "GGUF is read in place, little-endian");

namespace {

constexpr const char* kTypeNames[] = {"UINT8", "INT8",   "UINT16", "INT16",  "UINT32", "INT32",  "FLOAT32",
                                      "BOOL",  "STRING", "ARRAY",  "UINT64", "INT64",  "FLOAT64"};
constexpr uint64_t kTypeBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static_assert(std::size(kTypeNames) == kNumGgufTypes && std::size(kTypeBytes) == kNumGgufTypes);

template <class Number>
Number load(const std::byte* data) {
    Number out;
    std::memcpy(&out, data, sizeof out);
    return out;
}

}  // namespace

const char* type_name(GgufType type) { return kTypeNames[static_cast<uint32_t>(type)]; }

uint64_t size_of(GgufType type) { return kTypeBytes[static_cast<uint32_t>(type)]; }

GgufValue read_scalar(GgufType type, const std::byte* data) {
    switch (type) {
        case GgufType::kU8:
            return uint64_t{load<uint8_t>(data)};
        case GgufType::kI8:
            return int64_t{load<int8_t>(data)};
        case GgufType::kU16:
            return uint64_t{load<uint16_t>(data)};
        case GgufType::kI16:
            return int64_t{load<int16_t>(data)};
        case GgufType::kU32:
            return uint64_t{load<uint32_t>(data)};
        case GgufType::kI32:
            return int64_t{load<int32_t>(data)};
        case GgufType::kU64:
            return load<uint64_t>(data);
        case GgufType::kI64:
            return load<int64_t>(data);
        case GgufType::kF32:
            return double{load<float>(data)};
        case GgufType::kF64:
            return load<double>(data);
        case GgufType::kBool:
            return load<uint8_t>(data) != 0;
        case GgufType::kString:
        case GgufType::kArray:
            break;
    }
    return {};
}

}  // namespace zp
