// The KV cache of one sequence as the operations see it: a page table. A page holds kChunk positions of all
// layers and heads. Attention works in chunks of the same size, so it reads one page at a time and paging
// does not change the arithmetic. (PagedAttention: Kwon et al., "Efficient memory management for large
// language model serving", 2023, section 4.1.)
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matrix.hpp"

namespace zp {

enum class CacheType : uint8_t { kFloat, kHalf, kInt16, kInt8 };

// Memory layout of a page: heads [L, N], each with keys, then values.
//   float and half: keys [kChunk/16, K, 16], so that 16 positions are one vector; values [kChunk, K rounded
//   up to 16] integers:       keys [kChunk/32, K/2, 32, 2] with K rounded up to 2, values [kChunk/2, K, 2]:
//   adjacent pairs of
//                   columns and of positions, as 16-bit multiply-adds read them. Each position of a head has
//                   its own scale; the key scales [kChunk] and value scales [kChunk] follow as float.
struct PageLayout {
    CacheType type = CacheType::kHalf;
    int n_layers = 0;
    int n_kv_heads = 0;
    int d_head = 0;

    bool is_int() const { return type == CacheType::kInt16 || type == CacheType::kInt8; }
    size_t element_bytes() const;
    // Bytes of the first n_positions of a page, rounded up to complete tiles or pairs.
    size_t key_bytes(int n_positions) const;
    size_t value_bytes(int n_positions) const;
    size_t head_bytes() const;  // keys, values and scales of one head of a layer
    size_t page_bytes() const { return head_bytes() * static_cast<size_t>(n_kv_heads) * n_layers; }
};

// One head of a layer in one page.
struct HeadPage {
    uint8_t* keys;
    uint8_t* values;
    float* key_scales;  // null unless the cache holds integers
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

// Reads one position of one head as float: out [K].
void read_key(const CacheView& cache, int layer, int head, int position, float* out);
void read_value(const CacheView& cache, int layer, int head, int position, float* out);

}  // namespace zp
