// The heads of RWKV-7 (Peng et al., "RWKV-7 'Goose'", 2025, arXiv 2503.14456, section 4): each keeps a matrix
// S [K, V] of keys and values, from which a token removes a share of what its key stores before it adds its
// own:
//   w = exp(-exp(-1/2) sigmoid(w));  a = sigmoid(a);  kappa = k * removal_scale, of length 1
//   k = k * (1 + (a - 1) * replacement_scale)
//   S = diag(w) S - (a * kappa) (S^T kappa)^T + k v^T
//   out = (norm(S^T r) + (r . (bonus * k)) v) * g
// Tokens are processed one after another, so the division of a text into passes never changes a bit.
#pragma once

#include <cstddef>

#include "kernels/kernels.hpp"

namespace zp {

struct Rwkv7 {
    int n_heads = 0, d_head = 0;               // H, K = V
    const float* decay_bias = nullptr;         // [D]
    const float* rate_bias = nullptr;          // [D]
    const float* first_value_bias = nullptr;   // [D]; null in the first block
    const float* removal_scale = nullptr;      // [D]
    const float* replacement_scale = nullptr;  // [D]
    const float* bonus = nullptr;              // [D]
    const float* gain = nullptr;               // [D] of the norm per head
    const float* norm_bias = nullptr;          // [D]
    float norm_eps = 0;

    int width() const { return n_heads * d_head; }  // D
    size_t n_head_floats() const { return static_cast<size_t>(d_head) * ((d_head + 15) / 16 * 16); }
    // S of all heads: [H, K, V rounded up to 16].
    size_t n_state_floats() const { return static_cast<size_t>(n_heads) * n_head_floats(); }

    // Rows [T, D] of tokens, each `stride` after the one before.
    struct Io {
        float* receptance;
        float* key;    // in: k; out: as it is added
        float* value;  // in: v; out: with the share of the first block's
        float* decay;  // in: before its bias; out: w
        float* rate;   // in: before its bias; out: a
        float* share;  // in: of the first block's value, before its bias; unless first_value_bias is null
        const float* gate;
        float* removal;  // out: kappa
        float* scan;     // out: what the heads read
        float* normed;   // out: that, normalized
        size_t stride;
        float* first_value;  // [T, first_stride]: written by the first block, read by the others
        size_t first_stride;
        float* out;  // [T, out_stride]
        size_t out_stride;
    };
    // Heads [begin, end) of T consecutive tokens. state and next_state do not alias.
    void run(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
             int begin, int end) const;

private:
    // Columns [column, column + n) of one row, up to the kernel.
    void prepare(const Kernels& kernels, const Io& io, size_t row, size_t column, int n) const;
    // One head of one row, after the kernel.
    void finish(const Kernels& kernels, const Io& io, size_t row, size_t column) const;
};

}  // namespace zp
