// A sliding window with attention sinks (Xiao et al., "Efficient streaming language models with attention
// sinks", 2023, section 3.2): when the cache is full, it drops the oldest page after the sinks, so that a
// text has no length limit. As in the paper, positions are counted within the cache. RoPE scores depend only
// on distances, so instead of shifting every other key down, we rotate the few sink keys up. Each shift
// starts from the sinks as they were computed, so that keys are rounded once rather than at every drop.
#pragma once

#include <span>

#include "model/spec.hpp"
#include "ops/cache_view.hpp"

namespace zp {

struct CacheWindow {
    int n_positions = 0;  // positions of a sequence in the cache, sinks included; 0: no window
    int n_sinks = 0;      // first positions, which are never dropped

    bool is_on() const { return n_positions > 0; }
};

// The window in whole pages (positions rounded down, sinks up). kInvalid if the model cannot use it.
Result<CacheWindow> fit(const CacheWindow& requested, const ModelSpec& spec);

// Writes the keys of one page of a group, as computed, to another page, rotated to positions n_shifted later.
void shift_keys(const ModelSpec& spec, const CacheLayout& layout, size_t group, uint8_t* from, uint8_t* to,
                int n_shifted);

}  // namespace zp
