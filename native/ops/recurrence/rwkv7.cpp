#include "ops/recurrence/rwkv7.hpp"

#include <cmath>
#include <vector>

namespace zp {

namespace {
constexpr float kSlowestDecay = 0.60653066f;  // exp(-1/2)
constexpr float kKeyEps = 1e-24f;             // of the squared length of a key
}  // namespace

void Rwkv7::run(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
                int begin, int end) const {
    const size_t column = static_cast<size_t>(begin) * static_cast<size_t>(d_head);
    const size_t n_rows = static_cast<size_t>(n_tokens);
    if (begin >= end) return;
    for (size_t row = 0; row < n_rows; ++row) prepare(kernels, io, row, column, (end - begin) * d_head);
    for (int head = begin; head < end; ++head) {
        const size_t at = static_cast<size_t>(head) * n_head_floats();
        const size_t c = static_cast<size_t>(head) * static_cast<size_t>(d_head);
        kernels.time_mix({io.receptance + c, io.decay + c, io.removal + c, io.rate + c, io.key + c,
                          io.value + c, io.scan + c, io.stride, n_tokens, d_head, state + at,
                          next_state + at});
        for (size_t row = 0; row < n_rows; ++row) finish(kernels, io, row, c);
    }
}

void Rwkv7::prepare(const Kernels& kernels, const Io& io, size_t row, size_t column, int n) const {
    const size_t at = row * io.stride + column;
    const auto sigmoid = kernels.activate[static_cast<int>(Activation::kSigmoid)];
    float* const decay = io.decay + at;
    float* const rate = io.rate + at;
    float* const key = io.key + at;
    float* const value = io.value + at;
    float* const removal = io.removal + at;
    kernels.add(decay_bias + column, n, decay);
    sigmoid(decay, n, decay);
    kernels.scale(-kSlowestDecay, n, decay);
    kernels.exp(decay, n, decay);
    kernels.add(rate_bias + column, n, rate);
    sigmoid(rate, n, rate);
    float* const first = io.first_value + row * io.first_stride + column;
    if (first_value_bias == nullptr) {
        for (int i = 0; i < n; ++i) first[i] = value[i];
    } else {
        float* const share = io.share + at;
        kernels.add(first_value_bias + column, n, share);
        sigmoid(share, n, share);
        for (int i = 0; i < n; ++i) value[i] += share[i] * (first[i] - value[i]);
    }
    for (int i = 0; i < n; ++i) removal[i] = key[i] * removal_scale[column + static_cast<size_t>(i)];
    // A vector of length 1 is the RMSNorm with gain 1 / sqrt(K): x / sqrt(sum(x^2) + eps).
    static thread_local std::vector<float> gains;
    gains.assign(static_cast<size_t>(d_head), 1.0f / std::sqrt(static_cast<float>(d_head)));
    for (int i = 0; i < n; i += d_head)
        kernels.rms_norm(removal + i, gains.data(), kKeyEps / static_cast<float>(d_head), d_head,
                         removal + i);
    for (int i = 0; i < n; ++i)
        key[i] += key[i] * (rate[i] - 1.0f) * replacement_scale[column + static_cast<size_t>(i)];
}

void Rwkv7::finish(const Kernels& kernels, const Io& io, size_t row, size_t column) const {
    const size_t at = row * io.stride + column;
    const float* const receptance = io.receptance + at;
    const float* const value = io.value + at;
    float* const removal = io.removal + at;  // no longer needed
    kernels.layer_norm(io.scan + at, gain + column, norm_bias + column, norm_eps, d_head, io.normed + at);
    for (int i = 0; i < d_head; ++i) removal[i] = receptance[i] * bonus[column + static_cast<size_t>(i)];
    const float own = kernels.dot(removal, io.key + at, d_head);
    float* const out = io.out + row * io.out_stride + column;
    for (int i = 0; i < d_head; ++i)
        out[i] =
            (io.normed[at + static_cast<size_t>(i)] + own * value[i]) * io.gate[at + static_cast<size_t>(i)];
}

}  // namespace zp
