// GGUF metadata values and their declared types.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace zp {

// Value types, numbered as in the file.
enum class GgufType : uint32_t {
    kU8 = 0,
    kI8 = 1,
    kU16 = 2,
    kI16 = 3,
    kU32 = 4,
    kI32 = 5,
    kF32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kU64 = 10,
    kI64 = 11,
    kF64 = 12,
};
inline constexpr uint32_t kNumGgufTypes = 13;

// "UINT8", "INT32", ... as in the specification.
const char* type_name(GgufType type);

// Array items in the file's encoding, already validated: fixed-size numbers, or strings each preceded by its
// u64 length. They stay packed because a vector of values would be up to eight times as large.
struct GgufArray {
    GgufType type = GgufType::kU8;  // of the items; never kArray
    uint64_t count = 0;
    std::vector<std::byte> packed;
};

// One metadata value: unsigned and signed integers of any width, floats, and so on.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

// Reads a scalar of a fixed-size type from `data`, which must have size_of(type) bytes.
GgufValue read_scalar(GgufType type, const std::byte* data);

// Size in bytes of a value of a fixed-size type; 0 for strings and arrays.
uint64_t size_of(GgufType type);

// Calls `visit(std::string_view)` for every item of a validated array of strings, in order.
template <class Visit>
void for_each_text(const GgufArray& array, Visit&& visit) {
    const std::byte* at = array.packed.data();
    for (uint64_t i = 0; i < array.count; ++i) {
        const uint64_t n = std::get<uint64_t>(read_scalar(GgufType::kU64, at));
        visit(std::string_view(reinterpret_cast<const char*>(at + 8), n));
        at += 8 + n;
    }
}

// Calls `visit(GgufValue)` for every item of a validated array, in order.
template <class Visit>
void for_each_item(const GgufArray& array, Visit&& visit) {
    if (array.type == GgufType::kString)
        return for_each_text(array, [&](std::string_view text) { visit(GgufValue(std::string(text))); });
    const std::byte* at = array.packed.data();
    for (uint64_t i = 0; i < array.count; ++i, at += size_of(array.type)) visit(read_scalar(array.type, at));
}

}  // namespace zp
