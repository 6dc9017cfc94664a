#include "runtime/kv_cache/checkpoint.hpp"

#include <algorithm>

namespace zp {

KeptPositions::KeptPositions(const CacheLayout& layout, int max_positions, int n_sinks)
    : has_state_(layout.n_state_floats() > 0) {
    for (const PageGroup& group : layout.groups()) {
        const bool keeps_all =
            group.window == 0 || pages_of_window(group.window) + n_sinks / kChunk >= pages_for(max_positions);
        windows_.push_back(keeps_all ? 0 : group.window);
        has_window_ |= !keeps_all;
    }
}

bool KeptPositions::has_kept_group() const {
    return std::find(windows_.begin(), windows_.end(), 0) != windows_.end();
}

int KeptPositions::first_page(size_t group, int position, int slack) const {
    if (keeps_all(group)) return 0;
    return std::max(0, position + 1 - windows_[group] - slack) / kChunk;
}

int KeptPositions::first_kept(size_t group, int n_pages) const {
    return keeps_all(group) ? 0 : std::max(0, n_pages - pages_of_window(windows_[group]));
}

bool KeptPositions::covers(const Checkpoint& checkpoint, int n_tokens) const {
    if (n_tokens == checkpoint.n_tokens) return true;
    if (has_state_ || n_tokens > checkpoint.n_tokens) return false;
    for (size_t g = 0; g < n_groups(); ++g) {
        const int first = pages_for(checkpoint.n_tokens) - static_cast<int>(checkpoint.windows[g].size());
        if (!keeps_all(g) && first > first_page(g, n_tokens, 0)) return false;
    }
    return true;
}

size_t sequence_bytes(const CacheLayout& layout, const KeptPositions& kept, int n_positions) {
    size_t n_bytes = n_positions > 0 ? 2 * layout.n_state_floats() * sizeof(float) : 0;
    const int n_pages = pages_for(n_positions);
    for (size_t g = 0; g < kept.n_groups(); ++g)
        n_bytes += static_cast<size_t>(n_pages - kept.first_kept(g, n_pages)) * layout.groups()[g].page_bytes;
    return n_bytes;
}

}  // namespace zp
