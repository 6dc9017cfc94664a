// The cache of one sequence as the operations see it: a page table per page group, and the recurrent states
// (ops/cache_layout.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.hpp"
#include "ops/cache_layout.hpp"
#include "ops/matrix.hpp"

namespace zp {

// The pages of one group: entry p holds positions [p, p + 1) * kChunk; null if a window no longer needs them.
using PageTable = std::vector<uint8_t*>;

// One head of a layer in one page.
struct HeadPage {
    uint8_t* keys;
    uint8_t* values;
    float* key_scales;  // null unless the cache holds integers
    float* value_scales;
};

struct CacheView {
    const CacheLayout* layout = nullptr;
    const PageTable* tables = nullptr;  // one per group of the layout
    const float* states = nullptr;      // of all layers, after the last committed pass
    float* next_states = nullptr;       // of all layers, after the pass in progress

    HeadPage head_page(int layer, int head, int page) const {
        const CacheLayout::Place& at = layout->place(layer);
        uint8_t* keys = tables[at.group][static_cast<size_t>(page)] + at.first +
                        at.head_bytes * static_cast<size_t>(head);
        if (!layout->is_int()) return {keys, keys + at.values, nullptr, nullptr};
        float* scales = reinterpret_cast<float*>(keys + at.scales);
        return {keys, keys + at.values, scales, scales + kChunk};
    }
    // The recurrent state that the sequence's last committed pass left; zeros at the start of a text.
    const float* state(int layer) const { return states + layout->place(layer).state; }
    // Where this pass must write the state after its last token. It becomes state() once the pass has
    // succeeded, so an interrupted pass can run again. Undefined until written, and never aliases state().
    float* next_state(int layer) const { return next_states + layout->place(layer).state; }
};

// Writes one position of one head. `key` and `value` are [K].
void write_key(const CacheView& cache, int layer, int head, int position, const float* key);
void write_value(const CacheView& cache, int layer, int head, int position, const float* value);

// Reads one position of one head as float: out [K].
void read_key(const CacheView& cache, int layer, int head, int position, float* out);
void read_value(const CacheView& cache, int layer, int head, int position, float* out);

}  // namespace zp
