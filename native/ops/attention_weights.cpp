#include "ops/attention_weights.hpp"

#include <algorithm>
#include <cmath>

namespace zp {

std::vector<float> keys_of(const CacheView& cache, int layer, int head, int n_positions) {
    const CacheLayout::Place& place = cache.layout->place(layer);
    const PageTable& pages = cache.tables[place.group];
    const size_t d_head = static_cast<size_t>(place.head.d_head);
    std::vector<float> keys(static_cast<size_t>(n_positions) * d_head);
    for (int s = 0; s < n_positions; ++s)
        if (pages[static_cast<size_t>(s / kChunk)] != nullptr)
            read_key(cache, layer, head, s, keys.data() + static_cast<size_t>(s) * d_head);
    return keys;
}

void attention_weights(const float* keys, int d_head, const AttentionRule& rule, int head, int position,
                       const float* q, float* weights) {
    const int n_visible = position + 1;
    const int begin = rule.window > 0 ? std::max(n_visible - rule.window, 0) : 0;
    std::fill_n(weights, begin, 0.0f);
    const bool has_sink = rule.sinks != nullptr;
    const float sink = has_sink ? rule.sinks[head] : -3.0e38f;
    float peak = sink;
    for (int s = begin; s < n_visible; ++s) {
        const float* key = keys + static_cast<size_t>(s) * static_cast<size_t>(d_head);
        float score = 0.0f;
        for (int k = 0; k < d_head; ++k) score += q[k] * key[k];
        if (rule.softcap > 0.0f) score = rule.softcap * std::tanh(score / rule.softcap);
        weights[s] = score;
        peak = std::max(peak, score);
    }
    float total = has_sink ? std::exp(sink - peak) : 0.0f;
    for (int s = begin; s < n_visible; ++s) total += weights[s] = std::exp(weights[s] - peak);
    for (int s = begin; s < n_visible; ++s) weights[s] /= total;
}

}  // namespace zp
