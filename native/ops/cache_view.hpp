// The key/value cache of one sequence as the operations see it: a table of pages. A page holds kChunk
// positions of every layer and head, so that attention, which goes by chunks of as many, reads from one page
// at a time and paging changes no arithmetic. (PagedAttention: Kwon et al., "Efficient memory management for
// large language model serving", 2023, section 4.1.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matrix.hpp"

namespace zp {

enum class CacheType : uint8_t { kFloat, kHalf, kInt16, kInt8 };

// How a page lies in memory: [L, N] heads, and in each keys [kChunk/16, K, 16], so that 16 positions are one
// vector, then values [kChunk, K rounded up to 16]. But for half and float, two columns of a key, and two
// positions of a value, lie together: keys [kChunk/32, K/2, 32, 2] with K rounded up to 2, values
// [kChunk/2, K, 2]. Of integers, a position of a head is a whole number of steps of its own; then come the
// steps of the keys [kChunk] and of the values [kChunk] as float.
struct PageLayout {
    CacheType type = CacheType::kHalf;
    int n_layers = 0;
    int n_kv_heads = 0;
    int d_head = 0;

    bool is_int() const { return type == CacheType::kInt16 || type == CacheType::kInt8; }
    size_t element_bytes() const;
    // Of the first n_positions of a page; more where these do not fill a tile, or a pair.
    size_t key_bytes(int n_positions) const;
    size_t value_bytes(int n_positions) const;
    size_t head_bytes() const;  // keys, values and steps of one head of a layer
    size_t page_bytes() const { return head_bytes() * static_cast<size_t>(n_kv_heads) * n_layers; }
};

// One head of a layer in one page.
struct HeadPage {
    uint8_t* keys;
    uint8_t* values;
    float* key_scales;  // null but for integers
    float* value_scales;
};

struct CacheView {
    PageLayout layout;
    uint8_t* const* pages = nullptr;  // page p holds positions [p, p + 1) * kChunk

    HeadPage head_page(int layer, int head, int page) const;
};

// Writes one position of one head. `key` and `value` are [K].
void write_key(const CacheView& cache, int layer, int head, int position, const float* key);
void write_value(const CacheView& cache, int layer, int head, int position, const float* value);

// What the cache holds of one position of one head, as float: out [K].
void read_key(const CacheView& cache, int layer, int head, int position, float* out);
void read_value(const CacheView& cache, int layer, int head, int position, float* out);

}  // namespace zp
