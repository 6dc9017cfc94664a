// Software prefetching for memory that is read once from start to end: bandwidth then depends on the number
// of outstanding requests, and hardware prefetchers stop at page boundaries.
#pragma once

namespace zp {

inline constexpr int kPrefetchDistance = 1536;  // bytes: as many cache lines as a core can have in flight

// Prefetches n_bytes at p + kPrefetchDistance. The address need not be valid.
template <int n_bytes>
inline void prefetch_ahead(const void* p) {
    for (int i = 0; i < n_bytes; i += 64)
        __builtin_prefetch(static_cast<const char*>(p) + kPrefetchDistance + i);
}

}  // namespace zp
