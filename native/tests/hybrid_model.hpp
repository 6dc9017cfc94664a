// A model of whole numbers whose layers use every kind of cache, for tests of the cache alone. The output of
// a token depends on every position that its layers see and on the states, so one wrong number anywhere
// changes it.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/kv_cache/sequence.hpp"
#include "tiny_model.hpp"

namespace zp::test {

constexpr uint64_t kModulus = 65521;  // below 2^24: floats hold it exactly

struct HybridLayout {
    const char* name;
    std::vector<LayerCache> layers;
};

// Every combination of kinds, with head sizes and windows that differ between layers.
inline std::vector<HybridLayout> hybrid_layouts() {
    const LayerCache full = LayerCache::pages(2, 4), wide = LayerCache::pages(1, 20),
                     narrow = LayerCache::sliding(2, 3, 5), window = LayerCache::sliding(1, 4, 200),
                     state = LayerCache::state(7), small_state = LayerCache::state(3);
    const auto shared = [](int source) { return LayerCache::shared(source); };
    return {{"full", {full, wide}},
            {"window", {window}},
            {"state", {state, small_state}},
            {"full + window", {window, full, narrow, window, wide}},
            {"full + state", {state, full, small_state, wide}},
            {"window + state", {narrow, state, window}},
            {"full + window + state", {window, state, full, narrow, small_state}},
            {"full + window + shared", {window, full, shared(0), shared(1)}},
            {"all kinds", {narrow, full, state, shared(0), window, shared(1), shared(4)}}};
}

// A specification for these layouts, of which the cache needs the context and the rotations only.
inline ModelSpec hybrid_spec() {
    ModelSpec spec = tiny_spec();
    spec.n_ctx = 4096;
    spec.layers.assign(7, spec.layer(0));
    for (LayerSpec& layer : spec.layers)
        layer.attention.rotation = AttentionSpec::kNoRotation;  // shifting the keys of sinks changes nothing
    return spec;
}

// What a layer does to `h`, the running number of a token, from the number at each position that it sees.
class Mixture {
public:
    explicit Mixture(uint64_t h) : sum_(h) {}
    void add(uint64_t number, int distance) {
        sum_ = (sum_ * 3 + number * static_cast<uint64_t>(distance % 13 + 1)) % kModulus;
    }
    uint64_t value() const { return sum_; }

private:
    uint64_t sum_;
};

inline uint64_t embed(int32_t token) { return static_cast<uint64_t>(token) * 31 + 7; }
inline uint64_t key_number(uint64_t h, size_t layer) { return (h * 17 + layer * 1009 + 1) % kModulus; }
inline uint64_t next_number(uint64_t old, uint64_t h, size_t i) { return (old * 5 + h + i) % kModulus; }

// Computes the outputs of a text without a cache.
inline std::vector<uint64_t> outputs_of(const std::vector<LayerCache>& layers,
                                        const std::vector<int32_t>& tokens) {
    std::vector<std::vector<uint64_t>> keys(layers.size()), states(layers.size());
    std::vector<uint64_t> outputs;
    for (size_t i = 0; i < layers.size(); ++i) states[i].assign(layers[i].n_state_floats, 0);
    for (const int32_t token : tokens) {
        uint64_t h = embed(token);
        for (size_t i = 0; i < layers.size(); ++i) {
            const bool is_shared = layers[i].kind == LayerCacheKind::kShared;
            const size_t source = is_shared ? static_cast<size_t>(layers[i].source) : i;
            if (layers[i].kind == LayerCacheKind::kState) {
                for (size_t k = 0; k < states[i].size(); ++k) states[i][k] = next_number(states[i][k], h, k);
                Mixture mixture(h);
                for (const uint64_t number : states[i]) mixture.add(number, 0);
                h = mixture.value();
                continue;
            }
            if (!is_shared) keys[i].push_back(key_number(h, i));
            const int last = static_cast<int>(keys[source].size()) - 1, window = layers[source].window;
            Mixture mixture(h);
            for (int s = window > 0 ? std::max(0, last + 1 - window) : 0; s <= last; ++s)
                mixture.add(keys[source][static_cast<size_t>(s)], last - s);
            h = mixture.value();
        }
        outputs.push_back(h);
    }
    return outputs;
}

// Runs the pass of a slice; returns the output of each of its tokens.
inline std::vector<uint64_t> run_pass(const Slice& slice, const int32_t* tokens) {
    const CacheLayout& layout = *slice.cache.layout;
    std::vector<uint64_t> h;
    for (int t = 0; t < slice.n_tokens; ++t) h.push_back(embed(tokens[t]));
    std::vector<float> row;
    for (int i = 0; i < layout.n_layers(); ++i) {
        const LayerCache& layer = layout.layer(i);
        const auto state_of = [&](const float* at) {
            return std::vector<float>(at, at + layer.n_state_floats);
        };
        const auto at = static_cast<size_t>(i);
        std::vector<float> state;
        if (layer.kind == LayerCacheKind::kState) state = state_of(slice.cache.state(i));
        for (int t = 0; t < slice.n_tokens; ++t) {
            uint64_t& value = h[static_cast<size_t>(t)];
            Mixture mixture(value);
            if (layer.kind == LayerCacheKind::kState) {
                for (size_t k = 0; k < state.size(); ++k) {
                    state[k] = static_cast<float>(next_number(static_cast<uint64_t>(state[k]), value, k));
                    mixture.add(static_cast<uint64_t>(state[k]), 0);
                }
                value = mixture.value();
                continue;
            }
            const CacheLayout::Place& place = layout.place(i);
            const int position = slice.first_position + t, head = place.n_kv_heads - 1;
            row.assign(static_cast<size_t>(place.head.d_head), static_cast<float>(key_number(value, at)));
            if (layout.has_pages(i)) write_key(slice.cache, i, head, position, row.data());
            const int window = layout.groups()[static_cast<size_t>(place.group)].window;
            for (int s = window > 0 ? std::max(0, position + 1 - window) : 0; s <= position; ++s) {
                read_key(slice.cache, i, head, s, row.data());
                mixture.add(static_cast<uint64_t>(row.back()), position - s);
            }
            value = mixture.value();
        }
        if (layer.kind == LayerCacheKind::kState)
            std::copy(state.begin(), state.end(), slice.cache.next_state(i));
    }
    return h;
}

// What an interrupted pass leaves behind: wrong numbers wherever a pass may write.
inline void run_interrupted_pass(const Slice& slice) {
    const CacheLayout& layout = *slice.cache.layout;
    for (int i = 0; i < layout.n_layers(); ++i) {
        if (layout.layer(i).kind == LayerCacheKind::kState)
            std::fill_n(slice.cache.next_state(i), layout.layer(i).n_state_floats, 4.0f);
        if (!layout.has_pages(i)) continue;
        const std::vector<float> row(static_cast<size_t>(layout.place(i).head.d_head), 4.0f);
        for (int t = 0; t < slice.n_tokens; ++t)
            for (int head = 0; head < layout.place(i).n_kv_heads; ++head)
                write_key(slice.cache, i, head, slice.first_position + t, row.data());
    }
}

}  // namespace zp::test
