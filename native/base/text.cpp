// Decodes UTF-8 one character at a time; ASCII runs are skipped eight bytes at a time, which makes
// vocabularies fast.
#include "base/text.hpp"

#include <cstdint>
#include <cstdio>
#include <cstring>

namespace zp {
namespace {

struct Decoded {
    uint32_t code = 0;
    size_t n_bytes = 0;  // 0: not UTF-8
};

Decoded decode(std::string_view text) {
    const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
    uint8_t lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    size_t n = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < n) return {};
    uint32_t code = lead & (0x7Fu >> n);
    for (size_t i = 1; i < n; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        code = code << 6 | (byte(i) & 0x3Fu);
    }
    bool overlong = (n == 3 && code < 0x800) || (n == 4 && code < 0x10000);
    if (overlong || (code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF) return {};
    return {code, n};
}

// Control characters, invisible characters, and those that change text direction.
bool acts_on_terminal(uint32_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0xAD || c == 0x61C || (c >= 0x200B && c <= 0x200F) ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF ||
           (c >= 0xFFF9 && c <= 0xFFFB) || (c >= 0xE0000 && c <= 0xE0FFF);
}

}  // namespace

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        uint64_t eight = 0;
        if (text.size() >= 8) {
            std::memcpy(&eight, text.data(), 8);
            if ((eight & 0x8080808080808080ull) == 0) {
                text.remove_prefix(8);
                continue;
            }
        }
        size_t n = decode(text).n_bytes;
        if (n == 0) return false;
        text.remove_prefix(n);
    }
    return true;
}

std::string printable(std::string_view text, size_t max_chars) {
    std::string out;
    for (size_t n_chars = 0; !text.empty(); ++n_chars) {
        if (n_chars == max_chars) return out + "\u2026";
        Decoded c = decode(text);
        char escaped[16];
        if (c.n_bytes == 0) {
            std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<uint8_t>(text[0]));
            out += escaped;
            c.n_bytes = 1;
        } else if (acts_on_terminal(c.code)) {
            std::snprintf(escaped, sizeof escaped, "\\u{%x}", static_cast<unsigned>(c.code));
            out += escaped;
        } else {
            out += text.substr(0, c.n_bytes);
        }
        text.remove_prefix(c.n_bytes);
    }
    return out;
}

}  // namespace zp
