// What a file that is not a GGUF probably is, for the message that refuses it.
#pragma once

#include <cstddef>
#include <span>

namespace zp {

// A sentence's end such as "it is a ZIP archive, ...", or "its first bytes are unknown".
const char* sniff(std::span<const std::byte> head);

}  // namespace zp
