// A causal convolution per channel: y[t, c] = bias[c] + sum over k of weight[c, k] * x[t - W + 1 + k, c].
#pragma once

#include <cstddef>

namespace zp {

struct CausalConvolution {
    int n_channels = 0;             // C
    int d_kernel = 0;               // W: positions that it sees, the token's own included
    const float* weight = nullptr;  // [C, W], the oldest position first
    const float* bias = nullptr;    // [C] or null

    // The last W - 1 rows of x, the oldest first: [W - 1, C].
    size_t n_state_floats() const { return static_cast<size_t>(d_kernel - 1) * n_channels; }
    // Channels [begin, end) of rows [n_tokens, stride], which continue `state`. Writes y, which may not alias
    // x, and the state after the last row, which may not alias `state`.
    void run(const float* x, size_t x_stride, int n_tokens, const float* state, float* next_state, float* y,
             size_t y_stride, int begin, int end) const;
};

}  // namespace zp
