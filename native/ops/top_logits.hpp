// The token ids of the largest logits of a row.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace zp {

// The ids of the n largest of n_vocab logits, largest first; equal logits by ascending id.
inline std::vector<int32_t> top_ids(const float* logits, int n_vocab, int n) {
    std::vector<int32_t> ids(static_cast<size_t>(n_vocab));
    std::iota(ids.begin(), ids.end(), 0);
    std::partial_sort(ids.begin(), ids.begin() + n, ids.end(), [logits](int32_t a, int32_t b) {
        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
    });
    ids.resize(static_cast<size_t>(n));
    return ids;
}

}  // namespace zp
