// Untrusted text: UTF-8 validation, and escaping for messages so that it cannot control a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace zp {

// True if `text` is well-formed UTF-8 (no overlong forms, no surrogates; Unicode 15, table 3-7).
bool is_utf8(std::string_view text);

// Escapes `text` for a message: control and bidirectional characters become \u{..}, invalid bytes \x.., and
// text after the first `max_chars` characters an ellipsis. The result is UTF-8 on one line.
std::string printable(std::string_view text, size_t max_chars = 64);

}  // namespace zp
