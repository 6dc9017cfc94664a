// The scan of Mamba-2 (Dao and Gu, "Transformers are SSMs", 2024): each head keeps a matrix S [K, V], which
// decays, takes up a value under the key B and is read with the key C:
//   step = softplus(dt + bias);  S = exp(A step) S + B (step x)^T;  y = S^T C + skip x
// Tokens are processed one after another, so the division of a text into passes never changes a bit.
#pragma once

#include <cstddef>

#include "kernels/kernels.hpp"

namespace zp {

struct Mamba2 {
    int n_heads = 0, n_groups = 0;     // H, G: heads of a group share B and C
    int d_head = 0, d_state = 0;       // V, K
    const float* rate = nullptr;       // [H] A, below 0
    const float* step_bias = nullptr;  // [H]
    const float* skip = nullptr;       // [H]

    int d_inner() const { return n_heads * d_head; }
    int n_channels() const { return d_inner() + 2 * n_groups * d_state; }  // x, B, C
    size_t n_head_floats() const { return static_cast<size_t>(d_state) * ((d_head + 15) / 16 * 16); }
    // S of all heads: [H, K, V rounded up to 16].
    size_t n_state_floats() const { return static_cast<size_t>(n_heads) * n_head_floats(); }

    // Rows of tokens; a stride is the distance between rows.
    struct Io {
        const float* mixed;  // [T, n_channels()] x, B and C after the convolution
        size_t mixed_stride;
        const float* step;  // [T, H] dt
        size_t step_stride;
        float* out;  // [T, H * V]
        size_t out_stride;
    };
    // Heads [begin, end) of T consecutive tokens. state and next_state do not alias.
    void run(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
             int begin, int end) const;
};

}  // namespace zp
