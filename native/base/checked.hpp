// Arithmetic on numbers from a file: reports overflow instead of wrapping.
// Every size and offset from untrusted input goes through these functions.
#pragma once

#include <cstdint>

namespace zp {

[[nodiscard]] inline bool checked_add(uint64_t a, uint64_t b, uint64_t& out) {
    return !__builtin_add_overflow(a, b, &out);
}

[[nodiscard]] inline bool checked_mul(uint64_t a, uint64_t b, uint64_t& out) {
    return !__builtin_mul_overflow(a, b, &out);
}

// Rounds `a` up to a multiple of `alignment`, a power of two.
[[nodiscard]] inline bool checked_align(uint64_t a, uint64_t alignment, uint64_t& out) {
    uint64_t padded = 0;
    if (!checked_add(a, alignment - 1, padded)) return false;
    out = padded & ~(alignment - 1);
    return true;
}

}  // namespace zp
