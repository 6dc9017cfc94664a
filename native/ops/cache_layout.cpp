#include "ops/cache_layout.hpp"

#include <algorithm>
#include <string>

#include "kernels/kernels.hpp"
#include "ops/matrix.hpp"

namespace zp {

namespace {

constexpr int kMaxHeads = 65536, kMaxHeadWidth = 4096;
constexpr int kMaxKvWidth = 1 << 22;                 // heads * width of a layer
constexpr size_t kMaxStateFloats = size_t{1} << 28;  // of a layer: 1 GiB

Status check_heads(const LayerCache& layer, const std::string& where) {
    const bool is_valid = layer.n_kv_heads >= 1 && layer.n_kv_heads <= kMaxHeads && layer.d_head >= 1 &&
                          layer.d_head <= kMaxHeadWidth &&
                          static_cast<int64_t>(layer.n_kv_heads) * layer.d_head <= kMaxKvWidth;
    if (is_valid) return {};
    return invalid(where + " has " + std::to_string(layer.n_kv_heads) + " key/value heads of width " +
                   std::to_string(layer.d_head) + ", which the cache cannot hold");
}

Status check_layer(const std::vector<LayerCache>& layers, size_t i) {
    const LayerCache& layer = layers[i];
    const std::string where = "layer " + std::to_string(i);
    switch (layer.kind) {
        case LayerCacheKind::kWindow:
            if (layer.window < 1)
                return invalid(where + " has a window of " + std::to_string(layer.window) +
                               "; expected at least 1");
            [[fallthrough]];
        case LayerCacheKind::kPages:
            return check_heads(layer, where);
        case LayerCacheKind::kState:
            if (layer.n_state_floats >= 1 && layer.n_state_floats <= kMaxStateFloats) return {};
            return invalid(where + " has a state of " + std::to_string(layer.n_state_floats) +
                           " numbers; expected 1 to " + std::to_string(kMaxStateFloats));
        default:
            break;
    }
    const bool has_source = layer.source >= 0 && static_cast<size_t>(layer.source) < i;
    const LayerCacheKind source = has_source ? layers[static_cast<size_t>(layer.source)].kind : layer.kind;
    if (source == LayerCacheKind::kPages || source == LayerCacheKind::kWindow) return {};
    return invalid(where + " shares the cache of layer " + std::to_string(layer.source) +
                   "; expected an earlier layer with keys and values of its own");
}

}  // namespace

Status check(const std::vector<LayerCache>& layers) {
    for (size_t i = 0; i < layers.size(); ++i)
        if (Status status = check_layer(layers, i); !status.ok()) return status;
    return {};
}

size_t HeadLayout::element_bytes() const {
    return type == CacheType::kFloat ? 4 : type == CacheType::kInt8 ? 1 : 2;
}

int HeadLayout::key_tile() const { return is_int() ? kPairTile : 16; }

int HeadLayout::key_width() const { return d_head + (is_int() ? d_head % 2 : 0); }

size_t HeadLayout::key_bytes(int n_positions) const {
    const int tile = key_tile();
    const int n_stored = (n_positions + tile - 1) / tile * tile;
    return static_cast<size_t>(n_stored) * key_width() * element_bytes();
}

size_t HeadLayout::value_bytes(int n_positions) const {
    const int n_stored = n_positions + (is_int() ? n_positions % 2 : 0);
    return static_cast<size_t>(n_stored) * padded(d_head) * element_bytes();
}

size_t HeadLayout::bytes() const {
    const size_t scale_bytes = is_int() ? 2 * kChunk * sizeof(float) : 0;
    return key_bytes(kChunk) + value_bytes(kChunk) + scale_bytes;
}

CacheLayout::CacheLayout(CacheType type, std::vector<LayerCache> layers)
    : type_(type), layers_(std::move(layers)) {
    for (const LayerCache& layer : layers_) {
        const bool has_window = layer.kind == LayerCacheKind::kWindow;
        if (has_window || layer.kind == LayerCacheKind::kPages)
            if (group_of(layer.window) == kNoGroup) groups_.push_back({layer.window, 0});
    }
    std::sort(groups_.begin(), groups_.end(),
              [](const PageGroup& a, const PageGroup& b) { return a.window < b.window; });
    for (const LayerCache& layer : layers_) {
        Place place;
        if (layer.kind == LayerCacheKind::kShared) {
            place = places_[static_cast<size_t>(layer.source)];
        } else if (layer.kind == LayerCacheKind::kState) {
            place.state = n_state_floats_;
            n_state_floats_ += (layer.n_state_floats + 15) / 16 * 16;
        } else {
            place.head = {type, layer.d_head};
            place.n_kv_heads = layer.n_kv_heads;
            place.group = group_of(layer.window);
            place.head_bytes = place.head.bytes();
            place.values = place.head.key_bytes(kChunk);
            place.scales = place.values + place.head.value_bytes(kChunk);
            size_t& page_bytes = groups_[static_cast<size_t>(place.group)].page_bytes;
            place.first = page_bytes;
            page_bytes += place.head_bytes * static_cast<size_t>(layer.n_kv_heads);
        }
        places_.push_back(place);
    }
}

std::vector<int> CacheLayout::layers_of(int group) const {
    std::vector<int> layers;
    for (int i = 0; i < n_layers(); ++i)
        if (has_pages(i) && place(i).group == group) layers.push_back(i);
    return layers;
}

int CacheLayout::group_of(int window) const {
    for (size_t g = 0; g < groups_.size(); ++g)
        if (groups_[g].window == window) return static_cast<int>(g);
    return kNoGroup;
}

}  // namespace zp
