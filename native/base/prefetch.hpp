// Asking memory for what is read soon. What is read once, from the first byte to the last, comes as fast as
// it is asked for, and processors by themselves look ahead only to the end of a page.
#pragma once

namespace zp {

inline constexpr int kPrefetchDistance = 1536;  // bytes: as many lines as a core can have on their way

// Asks for what comes kPrefetchDistance bytes after the n_bytes at p. What lies there need not exist.
template <int n_bytes>
inline void prefetch_ahead(const void* p) {
    for (int i = 0; i < n_bytes; i += 64)
        __builtin_prefetch(static_cast<const char*>(p) + kPrefetchDistance + i);
}

}  // namespace zp
