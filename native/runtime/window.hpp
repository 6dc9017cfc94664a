// A window with attention sinks (Xiao et al., "Efficient streaming language models with attention sinks",
// 2023, section 3.2): when a cache is full the oldest page after its first ones goes, and a text can go on
// without end. Positions are counted inside the cache, as there. Rotary scores depend on distances alone, so
// that is done by moving the keys of the few sinks up to the others instead of all others down: one rounding,
// from keys that are kept as they were computed, instead of one more each time a page goes.
#pragma once

#include <span>

#include "model/spec.hpp"
#include "ops/cache_view.hpp"

namespace zp {

// Positions that a sequence keeps, the first `n_sinks` always among them; both in whole pages.
struct CacheWindow {
    int n_positions = 0;  // 0: no window, a sequence ends with the context
    int n_sinks = 0;

    bool is_on() const { return n_positions > 0; }
};

// The window in whole pages (positions rounded down, sinks up), or why the model cannot have it.
Result<CacheWindow> fit(const CacheWindow& wanted, const ModelSpec& spec);

// Writes the keys of a page of sinks, as computed, into another page as if they stood n_moved later.
void move_keys(const ModelSpec& spec, const PageLayout& layout, uint8_t* from, uint8_t* to, int n_moved);

}  // namespace zp
