#include "runtime/kv_cache/window.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "ops/position/rope.hpp"

namespace zp {

namespace {

constexpr int kMinPages = 2;  // after the sinks: one to drop and one to fill

}  // namespace

Result<CacheWindow> fit(const CacheWindow& requested, const ModelSpec& spec) {
    if (!requested.is_on()) return CacheWindow{};
    if (spec.n_positions > 0)
        return invalid(
            "a model with learned position embeddings cannot use --window; it needs RoPE or no positions");
    const bool has_other_rotation =
        std::any_of(spec.rotations.begin(), spec.rotations.end(),
                    [](const Rotation& r) { return r.encoding.encoding != nullptr; });
    if (spec.embedding_position.encoding != nullptr || has_other_rotation)
        return invalid("only a model with RoPE, or without positions, can use --window");
    if (requested.n_positions > spec.n_ctx || requested.n_sinks < 0 ||
        requested.n_sinks > requested.n_positions) {
        return invalid("a window of " + std::to_string(requested.n_positions) + " positions with " +
                       std::to_string(requested.n_sinks) + " sinks is not allowed; the context holds " +
                       std::to_string(spec.n_ctx));
    }
    const int n_sink_pages = requested.n_sinks / kChunk + (requested.n_sinks % kChunk != 0);
    const CacheWindow window{requested.n_positions / kChunk * kChunk, n_sink_pages * kChunk};
    if (window.n_positions / kChunk < n_sink_pages + kMinPages) {
        return invalid("a window of " + std::to_string(requested.n_positions) +
                       " positions is too small; with " + std::to_string(requested.n_sinks) +
                       " sinks it needs at least " +
                       std::to_string((static_cast<int64_t>(n_sink_pages) + kMinPages) * kChunk));
    }
    return window;
}

void shift_keys(const ModelSpec& spec, const CacheLayout& layout, size_t group, uint8_t* from, uint8_t* to,
                int n_shifted) {
    std::vector<PageTable> from_tables(layout.groups().size()), to_tables(layout.groups().size());
    from_tables[group] = {from};
    to_tables[group] = {to};
    const CacheView computed{&layout, from_tables.data()}, shifted{&layout, to_tables.data()};
    std::vector<float> cosines, sines, key;
    for (const int layer : layout.layers_of(static_cast<int>(group))) {
        const CacheLayout::Place& at = layout.place(layer);
        const Rotation& rotation = spec.rotation_of(spec.layer(layer).attention);
        const int n_pairs = rotation.n_pairs();
        cosines.resize(rotation.frequencies.size());
        sines.resize(rotation.frequencies.size());
        rope_angles(rotation.frequencies.data(), n_pairs, n_shifted, cosines.data(), sines.data());
        key.resize(static_cast<size_t>(at.head.d_head));
        for (int head = 0; head < at.n_kv_heads; ++head) {
            for (int s = 0; s < kChunk; ++s) {
                read_key(computed, layer, head, s, key.data());
                rope_rotate(rotation.layout, cosines.data(), sines.data(), n_pairs, key.data());
                write_key(shifted, layer, head, s, key.data());
            }
        }
    }
}

}  // namespace zp
