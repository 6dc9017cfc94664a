// Weight formats: name, GGUF type id and block size.
#pragma once

#include <cstdint>
#include <optional>

namespace zp {

enum class Format : uint8_t {
#define ZP_FORMAT(e, name, id, weights, bytes) e,
#include "formats.def"
#undef ZP_FORMAT
};

struct FormatInfo {
    Format format;
    const char* name;
    uint32_t gguf_id;
    uint32_t block_weights;
    uint32_t block_bytes;
};

inline constexpr FormatInfo kFormats[] = {
#define ZP_FORMAT(e, name, id, weights, bytes) {Format::e, name, id, weights, bytes},
#include "formats.def"
#undef ZP_FORMAT
};

inline constexpr int kFormatCount = sizeof kFormats / sizeof kFormats[0];

inline constexpr const FormatInfo& info(Format format) { return kFormats[static_cast<uint8_t>(format)]; }

inline std::optional<Format> format_from_gguf(uint32_t id) {
    for (const FormatInfo& f : kFormats)
        if (f.gguf_id == id) return f.format;
    return std::nullopt;
}

}  // namespace zp
