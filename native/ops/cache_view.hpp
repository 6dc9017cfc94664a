// The key/value cache of one sequence as the operations see it.
// Keys of a layer: [N, S/16, K, 16], so that 16 positions are one vector. Values: [N, S, K rounded up to 16].
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matrix.hpp"

namespace zp {

struct CacheView {
    uint8_t* data = nullptr;
    bool is_half = true;
    int n_kv_heads = 0;
    int d_head = 0;
    int capacity = 0;  // positions, a multiple of 16

    size_t element_bytes() const { return is_half ? 2 : 4; }
    size_t key_bytes() const { return static_cast<size_t>(capacity) * d_head * element_bytes(); }
    size_t value_bytes() const { return static_cast<size_t>(capacity) * padded(d_head) * element_bytes(); }
    size_t layer_bytes() const { return (key_bytes() + value_bytes()) * n_kv_heads; }
    uint8_t* keys(int layer, int head) const {
        return data + layer_bytes() * layer + (key_bytes() + value_bytes()) * head;
    }
    uint8_t* values(int layer, int head) const { return keys(layer, head) + key_bytes(); }
};

// Writes one position of one head. `key` and `value` are [K].
void write_cache(const CacheView& cache, int layer, int head, int position, const float* key,
                 const float* value);

// Reads the key of one position of one head as floats [K].
void read_key(const CacheView& cache, int layer, int head, int position, float* key);

}  // namespace zp
