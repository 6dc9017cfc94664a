#include "ops/recurrence/causal_convolution.hpp"

namespace zp {

void CausalConvolution::run(const float* x, size_t x_stride, int n_tokens, const float* state,
                            float* next_state, float* y, size_t y_stride, int begin, int end) const {
    const int n_kept = d_kernel - 1;
    // The row `at` positions after the first row of the state.
    const auto row = [&](int at) {
        return at < n_kept ? state + static_cast<size_t>(at) * n_channels
                           : x + static_cast<size_t>(at - n_kept) * x_stride;
    };
    for (int t = 0; t < n_tokens; ++t) {
        float* out = y + static_cast<size_t>(t) * y_stride;
        for (int c = begin; c < end; ++c) out[c] = bias != nullptr ? bias[c] : 0.0f;
        for (int k = 0; k < d_kernel; ++k) {
            const float* from = row(t + k);
            for (int c = begin; c < end; ++c) out[c] += weight[c * d_kernel + k] * from[c];
        }
    }
    for (int k = 0; k < n_kept; ++k) {
        const float* from = row(n_tokens + k);
        float* kept = next_state + static_cast<size_t>(k) * n_channels;
        for (int c = begin; c < end; ++c) kept[c] = from[c];
    }
}

}  // namespace zp
