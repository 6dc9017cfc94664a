// One metadata value of a GGUF file: its type as declared, and what it holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace zp {

// Value types with the numbers that the file uses for them.
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

// Items as they stand in the file, checked: fixed-size numbers, or strings each after its u64 length.
// They stay packed, because a vector of them would be up to eight times as large.
struct GgufArray {
    GgufType type = GgufType::kU8;  // of the items; never kArray
    uint64_t count = 0;
    std::vector<std::byte> packed;
};

// One metadata value: unsigned and signed integers of any width, floats, and so on.
using GgufValue = std::variant<uint64_t, int64_t, double, bool, std::string, GgufArray>;

// The scalar of a fixed-size type at `data`, which holds as many bytes as the type has.
GgufValue read_scalar(GgufType type, const std::byte* data);

// Bytes of one value of a fixed-size type; 0 for strings and arrays.
uint64_t size_of(GgufType type);

// Calls `visit(std::string_view)` with every item of a checked array of strings, in order.
template <class Visit>
void for_each_text(const GgufArray& array, Visit&& visit) {
    const std::byte* at = array.packed.data();
    for (uint64_t i = 0; i < array.count; ++i) {
        const uint64_t n = std::get<uint64_t>(read_scalar(GgufType::kU64, at));
        visit(std::string_view(reinterpret_cast<const char*>(at + 8), n));
        at += 8 + n;
    }
}

// Calls `visit(GgufValue)` with every item of a checked array, in order.
template <class Visit>
void for_each_item(const GgufArray& array, Visit&& visit) {
    if (array.type == GgufType::kString)
        return for_each_text(array, [&](std::string_view text) { visit(GgufValue(std::string(text))); });
    const std::byte* at = array.packed.data();
    for (uint64_t i = 0; i < array.count; ++i, at += size_of(array.type)) visit(read_scalar(array.type, at));
}

}  // namespace zp
