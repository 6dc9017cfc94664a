#include "ops/recurrence/gated_delta_net.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace zp {

namespace {

constexpr float kKeyEps = 1e-6f;  // of the length of queries and keys
constexpr int kBlockTokens = 32;  // tokens whose queries and keys are prepared together

// What a thread prepares for a block of tokens.
struct Block {
    std::vector<float> q, k, gain;  // [kBlockTokens, K] twice, [K]
    float dots[kBlockTokens], decay[kBlockTokens], share[kBlockTokens];
};

}  // namespace

void GatedDeltaNet::run(const Kernels& kernels, const Io& io, int n_tokens, const float* state,
                        float* next_state, int begin, int end) const {
    for (int head = begin; head < end; ++head) {
        const size_t at = static_cast<size_t>(head) * n_head_floats();
        run_head(kernels, io, n_tokens, state + at, next_state + at, head);
    }
}

void GatedDeltaNet::run_head(const Kernels& kernels, const Io& io, int n_tokens, const float* state,
                             float* next_state, int head) const {
    static thread_local Block block;
    const size_t width = static_cast<size_t>(d_key);
    block.q.resize(kBlockTokens * width);
    block.k.resize(kBlockTokens * width);
    // A vector of length 1 is the RMSNorm with gain 1 / sqrt(K): x / sqrt(sum(x^2) + eps). Queries are also
    // divided by sqrt(K).
    block.gain.assign(width, 1.0f / std::sqrt(static_cast<float>(d_key)));
    const float eps = kKeyEps / static_cast<float>(d_key), scale = block.gain[0];
    const int n_each = n_value_heads / n_key_heads;
    const int key_head = has_tiled_heads ? head % n_key_heads : head / n_each;
    const size_t h = static_cast<size_t>(head);
    const size_t query_at = static_cast<size_t>(key_head) * width;
    const size_t key_at = query_at + static_cast<size_t>(d_keys());
    const size_t value_at = h * static_cast<size_t>(d_value);
    for (int first = 0; first < n_tokens; first += kBlockTokens) {
        const int n = std::min(kBlockTokens, n_tokens - first);
        for (int t = 0; t < n; ++t) {
            const size_t row = static_cast<size_t>(first + t);
            const float* qkv = io.qkv + row * io.qkv_stride;
            float* const q = block.q.data() + static_cast<size_t>(t) * width;
            float* const k = block.k.data() + static_cast<size_t>(t) * width;
            kernels.rms_norm(qkv + query_at, block.gain.data(), eps, d_key, q);
            kernels.rms_norm(qkv + key_at, block.gain.data(), eps, d_key, k);
            kernels.scale(scale, d_key, q);
            block.dots[t] = kernels.dot(q, k, d_key);
            block.decay[t] = io.alpha[row * io.head_stride + h] + alpha_bias[h];
            block.share[t] = io.beta[row * io.head_stride + h];
        }
        kernels.activate[static_cast<int>(Activation::kSoftplus)](block.decay, n, block.decay);
        kernels.scale(decay_rate[h], n, block.decay);
        kernels.exp(block.decay, n, block.decay);
        kernels.activate[static_cast<int>(Activation::kSigmoid)](block.share, n, block.share);
        const size_t begin = static_cast<size_t>(first);
        kernels.delta_rule({block.q.data(), block.k.data(), block.dots, block.decay, block.share,
                            io.qkv + begin * io.qkv_stride + 2 * static_cast<size_t>(d_keys()) + value_at,
                            io.qkv_stride, io.context + begin * io.context_stride + value_at,
                            io.context_stride, n, d_key, d_value, first == 0 ? state : next_state,
                            next_state});
        for (int t = 0; t < n; ++t) {
            const size_t row = begin + static_cast<size_t>(t);
            io.alpha[row * io.head_stride + h] = block.decay[t];
            io.beta[row * io.head_stride + h] = block.share[t];
            float* const gated = io.gated + row * io.gated_stride + value_at;
            kernels.rms_norm(io.context + row * io.context_stride + value_at, norm, norm_eps, d_value, gated);
            kernels.gate[static_cast<int>(Activation::kSilu)](io.gate + row * io.gate_stride + value_at,
                                                              gated, d_value, gated);
        }
    }
}

}  // namespace zp
