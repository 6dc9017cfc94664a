// The sizes of a decoder as the native engine needs them. They come from a blueprint (Python), and are
// checked again here, because everything below trusts them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "ops/position/layout.hpp"

namespace zp {

struct ModelSpec {
    int n_layers = 0;
    int n_heads = 0;     // H
    int n_kv_heads = 0;  // N
    int d_model = 0;     // D
    int d_head = 0;      // K
    int d_ff = 0;        // F
    int n_ctx = 0;       // positions a cache may hold
    int n_vocab = 0;     // V
    float norm_eps = 0;
    RopeLayout rope_layout = RopeLayout::kInterleaved;
    std::vector<float> rope_frequencies;  // radians a position, one a rotated pair
    bool has_tied_head = false;
};

// Every rule the engine relies on; the first broken one, by name.
Status check(const ModelSpec& spec);

}  // namespace zp
