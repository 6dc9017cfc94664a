#include "ops/cache_view.hpp"

#include "formats/half.hpp"

namespace zp {

void write_cache(const CacheView& cache, int layer, int head, int position, const float* key,
                 const float* value) {
    const size_t tile = static_cast<size_t>(position) / 16 * 16 * cache.d_head + position % 16;
    const size_t row = static_cast<size_t>(position) * padded(cache.d_head);
    uint8_t* keys = cache.keys(layer, head);
    uint8_t* values = cache.values(layer, head);
    if (cache.is_half) {
        uint16_t* k_out = reinterpret_cast<uint16_t*>(keys) + tile;
        uint16_t* v_out = reinterpret_cast<uint16_t*>(values) + row;
        for (int k = 0; k < cache.d_head; ++k) {
            k_out[16 * k] = float_to_half(key[k]);
            v_out[k] = float_to_half(value[k]);
        }
    } else {
        float* k_out = reinterpret_cast<float*>(keys) + tile;
        float* v_out = reinterpret_cast<float*>(values) + row;
        for (int k = 0; k < cache.d_head; ++k) {
            k_out[16 * k] = key[k];
            v_out[k] = value[k];
        }
    }
}

void read_key(const CacheView& cache, int layer, int head, int position, float* key) {
    const size_t tile = static_cast<size_t>(position) / 16 * 16 * cache.d_head + position % 16;
    const uint8_t* keys = cache.keys(layer, head);
    for (int k = 0; k < cache.d_head; ++k) {
        const size_t at = tile + static_cast<size_t>(16 * k);
        key[k] = cache.is_half ? half_to_float(reinterpret_cast<const uint16_t*>(keys)[at])
                               : reinterpret_cast<const float*>(keys)[at];
    }
}

}  // namespace zp
