// Arguments of the recurrences' kernels (kernels.hpp). Shapes: T tokens, K columns of keys, V of values.
#pragma once

#include <cstddef>

namespace zp {

// The scan of one head of a state-space model over consecutive tokens (ops/recurrence/mamba2.hpp):
//   S = decay_t S + b_t (step_t x_t)^T;  out_t = S^T c_t + skip x_t
struct StateScan {
    const float* b;  // [T, b_stride]
    const float* c;  // [T, b_stride]
    size_t b_stride;
    const float* decay;  // [T]
    const float* step;   // [T]
    float skip;
    const float* x;  // [T, x_stride]
    size_t x_stride;
    float* out;  // [T, out_stride]
    size_t out_stride;
    int n_tokens, d_state, d_head;  // T, K, V
    const float* state;             // S [K, V rounded up to 16] before the first token
    float* next_state;              // S after the last one; may be the same memory
};

// The state of one head of RWKV-7 over consecutive tokens (ops/recurrence/rwkv7.hpp):
//   removed = S^T removal_t;  S = diag(decay_t) S - (rate_t * removal_t) removed^T + key_t v_t^T;
//   out_t = S^T receptance_t
struct TimeMix {
    const float* receptance;  // [T, stride] each
    const float* decay;
    const float* removal;
    const float* rate;
    const float* key;
    const float* value;
    float* out;
    size_t stride;
    int n_tokens, d_head;  // T, K = V
    const float* state;    // S [K, V rounded up to 16] before the first token
    float* next_state;     // S after the last one; may be the same memory
};

}  // namespace zp
