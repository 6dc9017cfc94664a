// Builds GGUF files for tests, valid or deliberately malformed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>

namespace zp::test {

template <class Number>
std::string raw(Number value) {
    static_assert(std::is_arithmetic_v<Number>);
    return std::string(reinterpret_cast<const char*>(&value), sizeof value);
}

inline std::string str(std::string_view text) { return raw<uint64_t>(text.size()) + std::string(text); }

// A metadata entry; `value` is the encoded value.
inline std::string kv(std::string_view key, uint32_t type, const std::string& value) {
    return str(key) + raw(type) + value;
}

inline std::string array(uint32_t type, uint64_t count, const std::string& items) {
    return raw(type) + raw(count) + items;
}

struct TensorBytes {
    std::string name = "w";
    std::string dims = raw<uint64_t>(32) + raw<uint64_t>(2);  // the contiguous axis first
    uint32_t n_dims = 2;
    uint32_t type = 0;
    uint64_t offset = 0;

    std::string bytes() const { return str(name) + raw(n_dims) + dims + raw(type) + raw(offset); }
};

struct FileBytes {
    uint32_t version = 3;
    uint64_t n_tensors = 0, n_entries = 0;
    std::string entries, tensors;
    uint64_t alignment = 32;
    uint64_t data_bytes = 0;

    FileBytes& add_entry(const std::string& bytes) { return entries += bytes, ++n_entries, *this; }
    FileBytes& add_tensor(const TensorBytes& t) { return tensors += t.bytes(), ++n_tensors, *this; }
    std::string bytes() const {
        std::string out = "GGUF" + raw(version) + raw(n_tensors) + raw(n_entries) + entries + tensors;
        out.resize((out.size() + alignment - 1) / alignment * alignment);
        return out + std::string(data_bytes, '\x11');
    }
};

}  // namespace zp::test
