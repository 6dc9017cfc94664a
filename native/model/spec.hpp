// The architecture of a decoder as the native engine needs it. It comes from a Python blueprint and is
// validated again here, because the rest of the engine relies on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "kernels/kernels.hpp"
#include "ops/attention.hpp"
#include "ops/position/encoding.hpp"
#include "ops/position/layout.hpp"

namespace zp {

enum class NormKind : uint8_t { kNone, kRms, kLayer };
enum class FfnKind : uint8_t { kNone, kGated, kPlain, kMixture };
enum class Placement : uint8_t {
    kPre,       // norm before each sublayer
    kParallel,  // attention and feed-forward read the same norm; both outputs are added
    kSandwich,  // norm before each sublayer and again on its output, before it is added
};

struct ModelSpec {
    int n_layers = 0;
    int n_heads = 0;     // H
    int n_kv_heads = 0;  // N
    int d_model = 0;     // D
    int d_head = 0;      // K
    int d_ff = 0;        // F; in a mixture, of one expert
    int n_ctx = 0;       // positions of the KV cache
    int n_vocab = 0;     // V

    NormKind norm = NormKind::kRms;
    float norm_eps = 0;
    Placement placement = Placement::kPre;
    bool has_final_norm = true;

    FfnKind ffn = FfnKind::kGated;
    Activation activation = Activation::kSilu;
    int n_experts = 0, n_active = 0;  // E, A: experts of a mixture, and those active per token
    bool has_renormalized_experts = true;

    bool has_query_key_norm = false;
    float attention_scale = 0;         // factor of q . k
    std::vector<AttentionRule> rules;  // one per layer

    RopeLayout rope_layout = RopeLayout::kInterleaved;
    std::vector<float> rope_frequencies;  // radians per position, one per rotated pair; empty: no RoPE
    float rope_factor = 1.0f;             // factor of the rotated columns
    int n_positions = 0;                  // rows of the learned position embedding; 0: none
    PositionOptions embedding_position;   // an encoding without weights that is added to the embedding
    PositionOptions head_rotation;        // one that rotates queries and keys, instead of RoPE

    float embedding_scale = 1.0f;
    bool has_tied_head = false;
    float head_scale = 1.0f;
    float head_softcap = 0.0f;  // 0: none

    int n_kv() const { return n_kv_heads * d_head; }
    int n_query() const { return n_heads * d_head; }
};

// Checks every assumption of the engine. Returns the first violation, naming the field.
Status check(const ModelSpec& spec);

}  // namespace zp
