// The sizes and parts of a decoder as the native engine needs them. They come from a blueprint (Python), and
// are checked again here, because everything below trusts them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "kernels/kernels.hpp"
#include "ops/attention.hpp"
#include "ops/position/layout.hpp"

namespace zp {

enum class NormKind : uint8_t { kNone, kRms, kLayer };
enum class FfnKind : uint8_t { kNone, kGated, kPlain, kMixture };
enum class Placement : uint8_t {
    kPre,       // norm before each part
    kParallel,  // attention and feed-forward read the same norm, and are added together
    kSandwich,  // norm before each part, and again before it is added
};

struct ModelSpec {
    int n_layers = 0;
    int n_heads = 0;     // H
    int n_kv_heads = 0;  // N
    int d_model = 0;     // D
    int d_head = 0;      // K
    int d_ff = 0;        // F; of one expert in a mixture
    int n_ctx = 0;       // positions a cache may hold
    int n_vocab = 0;     // V

    NormKind norm = NormKind::kRms;
    float norm_eps = 0;
    Placement placement = Placement::kPre;
    bool has_final_norm = true;

    FfnKind ffn = FfnKind::kGated;
    Activation activation = Activation::kSilu;
    int n_experts = 0, n_active = 0;  // E, A; of a mixture
    bool has_renormalized_experts = true;

    bool has_query_key_norm = false;
    float attention_scale = 0;         // what q . k is multiplied with
    std::vector<AttentionRule> rules;  // one a layer

    RopeLayout rope_layout = RopeLayout::kInterleaved;
    std::vector<float> rope_frequencies;  // radians a position, one a rotated pair; empty: no rotation
    float rope_factor = 1.0f;             // what rotated columns are multiplied with
    int n_positions = 0;                  // rows of a learned position table; 0: none

    float embedding_scale = 1.0f;
    bool has_tied_head = false;
    float head_scale = 1.0f;
    float head_softcap = 0.0f;  // 0: none

    int n_kv() const { return n_kv_heads * d_head; }
    int n_query() const { return n_heads * d_head; }
};

// Every rule the engine relies on; the first broken one, by name.
Status check(const ModelSpec& spec);

}  // namespace zp
