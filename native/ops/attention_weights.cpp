#include "ops/attention_weights.hpp"

#include <algorithm>
#include <cmath>

namespace zp {

void attention_weights(const CacheView& cache, int layer, int head, const AttentionRule& rule, int position,
                       const float* q, float* weights) {
    const int n_visible = position + 1;
    const int begin = rule.window > 0 ? std::max(n_visible - rule.window, 0) : 0;
    std::vector<float> key(static_cast<size_t>(cache.layout.d_head));
    std::fill_n(weights, begin, 0.0f);
    float peak = -3.0e38f;
    for (int s = begin; s < n_visible; ++s) {
        read_key(cache, layer, head, s, key.data());
        float score = 0.0f;
        for (int k = 0; k < cache.layout.d_head; ++k) score += q[k] * key[static_cast<size_t>(k)];
        if (rule.softcap > 0.0f) score = rule.softcap * std::tanh(score / rule.softcap);
        weights[s] = score;
        peak = std::max(peak, score);
    }
    float total = 0.0f;
    for (int s = begin; s < n_visible; ++s) total += weights[s] = std::exp(weights[s] - peak);
    for (int s = begin; s < n_visible; ++s) weights[s] /= total;
}

}  // namespace zp
