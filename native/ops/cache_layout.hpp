// What the cache of a sequence holds for each layer, and where: pages of keys and values, of which a layer
// with a sliding window keeps only the last ones; a recurrent state of fixed size; or nothing, because the
// layer reads the cache of another one.
//
// Layers that keep the same positions form a page group. A page holds kChunk positions of all layers and
// heads of its group. Attention works in chunks of the same size, so it reads one page at a time and paging
// does not change the arithmetic. (PagedAttention: Kwon et al., "Efficient memory management for large
// language model serving", 2023, section 4.1.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/status.hpp"

namespace zp {

enum class CacheType : uint8_t { kFloat, kHalf, kInt16, kInt8 };

enum class LayerCacheKind : uint8_t {
    kPages,   // keys and values of all positions
    kWindow,  // keys and values of the last `window` positions
    kState,   // n_state_floats that every token replaces
    kShared,  // none of its own: it reads the keys and values of layer `source`
};

// The cache of one layer.
struct LayerCache {
    LayerCacheKind kind = LayerCacheKind::kPages;
    int n_kv_heads = 0, d_head = 0;  // pages, window
    int window = 0;                  // window: positions that a token sees, its own included
    size_t n_state_floats = 0;       // state
    int source = 0;                  // shared: an earlier layer with pages or a window

    static LayerCache pages(int n_kv_heads, int d_head) {
        return {LayerCacheKind::kPages, n_kv_heads, d_head, 0, 0, 0};
    }
    static LayerCache sliding(int n_kv_heads, int d_head, int window) {
        return {LayerCacheKind::kWindow, n_kv_heads, d_head, window, 0, 0};
    }
    static LayerCache state(size_t n_floats) { return {LayerCacheKind::kState, 0, 0, 0, n_floats, 0}; }
    static LayerCache shared(int source) { return {LayerCacheKind::kShared, 0, 0, 0, 0, source}; }
};

// Checks the sizes of each layer and that every shared layer has a source. Returns the first violation.
Status check(const std::vector<LayerCache>& layers);

// Memory layout of one key/value head of K columns in a page: keys, then values.
//   float and half: keys [kChunk/16, K, 16], so that 16 positions are one vector; values [kChunk, K rounded
//   up
//                   to 16]
//   integers:       keys [kChunk/32, K/2, 32, 2] with K rounded up to 2, values [kChunk/2, K, 2]: adjacent
//                   pairs of columns and of positions, as 16-bit multiply-adds read them. Each position has
//                   its own scale; the key scales [kChunk] and value scales [kChunk] follow as float.
struct HeadLayout {
    CacheType type = CacheType::kHalf;
    int d_head = 0;

    bool is_int() const { return type == CacheType::kInt16 || type == CacheType::kInt8; }
    size_t element_bytes() const;
    int key_tile() const;   // positions per tile of keys
    int key_width() const;  // columns of a key as stored
    // Bytes of the first n_positions of a page, rounded up to complete tiles or pairs.
    size_t key_bytes(int n_positions) const;
    size_t value_bytes(int n_positions) const;
    size_t bytes() const;  // keys, values and scales
};

// Layers whose pages hold the same positions.
struct PageGroup {
    int window = 0;  // positions that its layers see; 0: all
    size_t page_bytes = 0;
};

class CacheLayout {
public:
    static constexpr int kNoGroup = -1;

    // Where the cache of a layer is; of a shared layer, that of its source.
    struct Place {
        HeadLayout head;
        int n_kv_heads = 0;
        int group = kNoGroup;  // of its pages
        size_t head_bytes = 0;
        size_t first = 0;   // byte of the layer's first head in a page
        size_t values = 0;  // byte of the values in a head
        size_t scales = 0;  // byte of the scales in a head
        size_t state = 0;   // float of the layer's state in a state block
    };

    CacheLayout() = default;
    // `layers` must pass check().
    CacheLayout(CacheType type, std::vector<LayerCache> layers);

    CacheType type() const { return type_; }
    bool is_int() const { return HeadLayout{type_, 0}.is_int(); }
    int n_layers() const { return static_cast<int>(layers_.size()); }
    const LayerCache& layer(int i) const { return layers_[static_cast<size_t>(i)]; }
    const Place& place(int layer) const { return places_[static_cast<size_t>(layer)]; }
    // Whether the layer writes keys and values of its own.
    bool has_pages(int layer) const {
        const LayerCacheKind kind = this->layer(layer).kind;
        return kind == LayerCacheKind::kPages || kind == LayerCacheKind::kWindow;
    }
    // Layers with pages of their own in a group, in order.
    std::vector<int> layers_of(int group) const;

    // The group of full layers first, then each distinct window, narrowest first. Empty if no layer attends.
    const std::vector<PageGroup>& groups() const { return groups_; }
    // Floats of the recurrent states of all layers.
    size_t n_state_floats() const { return n_state_floats_; }

private:
    int group_of(int window) const;

    CacheType type_ = CacheType::kHalf;
    std::vector<LayerCache> layers_;
    std::vector<Place> places_;
    std::vector<PageGroup> groups_;
    size_t n_state_floats_ = 0;
};

}  // namespace zp
