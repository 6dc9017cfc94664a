// Gated DeltaNet (Yang, Kautz, Hatamizadeh, "Gated Delta Networks", 2024): each head keeps a matrix S [K, V],
// from which a query reads q^T S and in which a token replaces the value of its key:
//   S = alpha S;  S = S + k (beta (v - S^T k))^T
// with keys and queries of length 1. Each head's output is normalized and multiplied by silu(gate). Tokens
// are processed one after another, so the division of a text into passes never changes a bit.
#pragma once

#include <cstddef>

#include "kernels/kernels.hpp"

namespace zp {

struct GatedDeltaNet {
    int n_key_heads = 0;           // N: of queries and of keys
    int n_value_heads = 0;         // H: a multiple of N
    int d_key = 0, d_value = 0;    // K, V
    bool has_tiled_heads = false;  // value head h reads key head h % N; else neighbours share one
    float norm_eps = 0;
    const float* decay_rate = nullptr;  // [H] A, below 0: alpha = exp(A softplus(x + bias))
    const float* alpha_bias = nullptr;  // [H]
    const float* norm = nullptr;        // [V] gain

    int d_keys() const { return n_key_heads * d_key; }
    int d_values() const { return n_value_heads * d_value; }
    int n_channels() const { return 2 * d_keys() + d_values(); }  // q, k, v
    // S of all heads: [H, K, V].
    size_t n_head_floats() const { return static_cast<size_t>(d_key) * static_cast<size_t>(d_value); }
    size_t n_state_floats() const { return static_cast<size_t>(n_value_heads) * n_head_floats(); }

    // Rows of tokens; a stride is the distance between rows.
    struct Io {
        const float* qkv;  // [T, n_channels()] after the convolution
        size_t qkv_stride;
        const float* gate;  // [T, H * V]
        size_t gate_stride;
        float* alpha;  // [T, H] in: x; out: the decays
        float* beta;   // [T, H] in: before the sigmoid; out: after it
        size_t head_stride;
        float* context;  // [T, H * V] what the heads read
        size_t context_stride;
        float* gated;  // [T, H * V] normalized and gated
        size_t gated_stride;
    };
    // Value heads [begin, end) of T consecutive tokens. state and next_state do not alias.
    void run(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
             int begin, int end) const;

private:
    void run_head(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
                  int head) const;
};

}  // namespace zp
