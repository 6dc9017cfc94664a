// Text from outside: is it UTF-8, and how is it shown in a message without letting it act on a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace zp {

// True if `text` is well-formed UTF-8 (no overlong forms, no surrogates; Unicode 15, table 3-7).
bool is_utf8(std::string_view text);

// `text` for a message: control and direction characters and bad bytes become \u{..} and \x.., and what
// follows the first `max_chars` characters becomes an ellipsis. The result is UTF-8 on one line.
std::string printable(std::string_view text, size_t max_chars = 64);

}  // namespace zp
