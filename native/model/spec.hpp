// The architecture of a decoder as the native engine needs it: sizes of the whole model, and one LayerSpec
// per block, because the blocks of a hybrid model differ. It comes from a Python blueprint
// (engine/native/model_spec.py) and is validated again here, because the rest of the engine relies on it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.hpp"
#include "kernels/kernels.hpp"
#include "ops/attention.hpp"
#include "ops/cache_layout.hpp"
#include "ops/position/encoding.hpp"
#include "ops/position/layout.hpp"

namespace zp {

enum class NormKind : uint8_t { kNone, kRms, kLayer };
enum class FfnKind : uint8_t { kNone, kGated, kPlain, kMixture };
enum class Placement : uint8_t {
    kPre,       // norm before each sublayer
    kParallel,  // attention and feed-forward read the same norm; both outputs are added
    kSandwich,  // norm before each sublayer and again on its output, before it is added
    kOutput,    // norm only on the output of each sublayer, before it is added
};
inline bool has_input_norm(Placement placement) { return placement != Placement::kOutput; }
inline bool has_output_norm(Placement placement) {
    return placement == Placement::kSandwich || placement == Placement::kOutput;
}

struct NormSpec {
    NormKind kind = NormKind::kNone;
    float eps = 0;
};

// How queries and keys are rotated: by RoPE, or by another encoding. Layers share a rotation, so that its
// angles are computed once per token.
struct Rotation {
    RopeLayout layout = RopeLayout::kInterleaved;
    std::vector<float> frequencies;  // of RoPE: radians per position, one per rotated pair
    float factor = 1.0f;             // of the columns that RoPE rotates
    PositionOptions encoding;        // instead of RoPE

    int n_pairs() const { return static_cast<int>(frequencies.size()); }
};

struct AttentionSpec {
    static constexpr int kNoRotation = -1;
    static constexpr int kNoSource = -1;

    int n_heads = 0;     // H
    int n_kv_heads = 0;  // N
    int d_head = 0;      // K
    float scale = 0;     // factor of q . k
    AttentionRule rule;
    int rotation = kNoRotation;             // index into ModelSpec::rotations
    NormSpec query_key_norm;                // of each query and key head, before rotation, ...
    bool has_joint_query_key_norm = false;  // ... or of all query heads together, and all key heads
    NormSpec value_norm;                    // of each value head; it has no gain
    bool has_output_gate = false;           // the context of each head is multiplied by sigmoid(gate(x))
    bool has_sink = false;                  // a learned logit per head takes part in the softmax
    int source = kNoSource;  // an earlier layer whose keys and values this one reads; it has none of its own
    // Queries at position p are multiplied by 1 + temperature_slope * ln(1 + floor(p /
    // temperature_interval)).
    float temperature_slope = 0;
    int temperature_interval = 0;

    bool has_keys() const { return source == kNoSource; }
    int n_query() const { return n_heads * d_head; }
    int n_kv() const { return n_kv_heads * d_head; }
    AttentionSizes sizes() const { return {n_heads, n_kv_heads, d_head}; }
};

struct FfnSpec {
    FfnKind kind = FfnKind::kNone;
    int d_ff = 0;  // F; in a mixture, of one expert
    Activation activation = Activation::kSilu;
    float activation_slope = 1.0f;    // a: the activation is activation(a * x) / a
    float limit = 0;                  // of a gated one: gate(x) is at most this, |up(x)| too; 0: none
    bool is_squared = false;          // the activation's square
    bool is_shifted = false;          // of a plain one: also reads the token before (RWKV)
    float up_offset = 0;              // of a gated one: added to up(x), after the limit
    int d_shared = 0;                 // of a mixture: width of the network that every token uses; 0: none
    int n_experts = 0, n_active = 0;  // E, A: experts of a mixture, and those active per token
    bool has_renormalized_experts = true;
};

class Recurrence;  // model/recurrence/recurrence.hpp

struct LayerSpec {
    NormSpec norm;
    Placement placement = Placement::kPre;
    AttentionSpec attention;                       // unless the block has a recurrence
    std::shared_ptr<const Recurrence> recurrence;  // mixes the tokens instead of attention; null: attention
    FfnSpec ffn;
    float residual_scale = 1.0f;    // of what each sublayer adds
    bool has_output_scale = false;  // the block's output is multiplied by a learned number

    bool has_attention() const { return recurrence == nullptr; }
};

struct ModelSpec {
    int d_model = 0;  // D
    int n_ctx = 0;    // positions of the KV cache
    int n_vocab = 0;  // V
    std::vector<LayerSpec> layers;
    NormSpec final_norm;
    std::vector<Rotation> rotations;

    int n_positions = 0;                 // rows of the learned position embedding; 0: none
    PositionOptions embedding_position;  // an encoding without weights that is added to the embedding

    NormSpec embedding_norm;
    int d_per_layer = 0;  // P: width of the input of its own that each block has for each token; 0: none
    Activation per_layer_activation = Activation::kGeluTanh;

    float embedding_scale = 1.0f;
    bool has_tied_head = false;
    float head_scale = 1.0f;
    float head_softcap = 0.0f;  // 0: none

    // Everything above but n_ctx as text: models whose texts differ compute different keys and values.
    std::string identity;

    // Whether a block does something after its feed-forward.
    bool has_finish(int layer) const { return d_per_layer > 0 || this->layer(layer).has_output_scale; }

    int n_layers() const { return static_cast<int>(layers.size()); }
    const LayerSpec& layer(int i) const { return layers[static_cast<size_t>(i)]; }
    // The rotation of an attention; one without pairs if it has none.
    const Rotation& rotation_of(const AttentionSpec& attention) const;
    // The largest value of a size over the layers: max_of([](const LayerSpec& l) { return l.ffn.d_ff; }).
    template <class Size>
    int max_of(const Size& size) const {
        int largest = 0;
        for (const LayerSpec& l : layers) largest = std::max(largest, size(l));
        return largest;
    }
};

// What the cache holds for each layer.
std::vector<LayerCache> caches(const ModelSpec& spec);

// Checks every assumption of the engine. Returns the first violation, naming the field.
Status check(const ModelSpec& spec);

}  // namespace zp
