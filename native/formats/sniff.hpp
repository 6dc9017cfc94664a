// Guesses the type of a file that is not a GGUF, for the error message.
#pragma once

#include <cstddef>
#include <span>

namespace zp {

// Returns a clause such as "it is a ZIP archive, ...", or "its first bytes are unknown".
const char* sniff(std::span<const std::byte> head);

}  // namespace zp
