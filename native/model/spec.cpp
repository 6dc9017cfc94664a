#include "model/spec.hpp"

#include <cmath>

#include "model/recurrence/recurrence.hpp"

namespace zp {

namespace {

// Far above any published model, and small enough that products of two sizes fit in 64 bits with room to
// spare.
constexpr int kMaxSize = 1 << 24;
constexpr int kMaxLayers = 4096;

Status in_range(const std::string& name, int value, int min_value, int max_value) {
    if (value >= min_value && value <= max_value) return {};
    return invalid(name + " is " + std::to_string(value) + "; expected " + std::to_string(min_value) +
                   " to " + std::to_string(max_value));
}

struct Size {
    const char* name;
    int value, max_value;
};

// Checks that each size is 1 to its maximum. `at` precedes the names.
template <size_t n>
Status in_range(const std::string& at, const Size (&sizes)[n]) {
    for (const Size& size : sizes)
        if (Status status = in_range(at + size.name, size.value, 1, size.max_value); !status.ok())
            return status;
    return {};
}

Status check(const NormSpec& norm, const std::string& at) {
    if (norm.kind == NormKind::kNone || (norm.eps > 0.0f && std::isfinite(norm.eps))) return {};
    return invalid(at + ".eps must be positive and finite");
}

Status check(const Rotation& rotation, const std::string& at) {
    for (const float frequency : rotation.frequencies)
        if (!std::isfinite(frequency))
            return invalid(at + ".frequencies contains a number that is not finite");
    if (!std::isfinite(rotation.factor)) return invalid(at + ".factor is not a finite number");
    const PositionEncoding* encoding = rotation.encoding.encoding;
    if (encoding != nullptr && encoding->rotate == nullptr)
        return invalid(std::string(encoding->kind) + " does not rotate queries and keys");
    if (encoding != nullptr && !rotation.frequencies.empty())
        return invalid(at + " has both RoPE and another encoding; expected one of them");
    return {};
}

Status check(const AttentionSpec& a, const ModelSpec& s, const std::string& at) {
    const Size sizes[] = {
        {"n_heads", a.n_heads, 65536}, {"n_kv_heads", a.n_kv_heads, 65536}, {"d_head", a.d_head, 4096}};
    if (Status status = in_range(at + ".", sizes); !status.ok()) return status;
    if (a.n_heads % a.n_kv_heads != 0)
        return invalid(at + ".n_heads is " + std::to_string(a.n_heads) +
                       "; expected a multiple of n_kv_heads, " + std::to_string(a.n_kv_heads));
    if (a.n_heads / a.n_kv_heads > kMaxQueriesPerKvHead)
        return invalid(at + ".n_heads / n_kv_heads is more than " + std::to_string(kMaxQueriesPerKvHead));
    if (static_cast<int64_t>(a.n_heads) * a.d_head > (1 << 22))
        return invalid(at + ".n_heads * d_head is too large; expected at most 4194304");
    if (!std::isfinite(a.scale)) return invalid(at + ".scale is not a finite number");
    if (a.rule.window < 0) return invalid(at + ".window must not be negative");
    if (!(a.rule.softcap >= 0.0f && std::isfinite(a.rule.softcap)))
        return invalid(at + ".softcap must be finite and not negative");
    if (Status status = check(a.query_key_norm, at + ".query_key_norm"); !status.ok()) return status;
    if (Status status = check(a.value_norm, at + ".value_norm"); !status.ok()) return status;
    if (a.value_norm.kind == NormKind::kLayer) return invalid(at + ".value_norm must be an RMS norm");
    if (!std::isfinite(a.temperature_slope)) return invalid(at + ".temperature_slope is not a finite number");
    if (a.temperature_slope != 0)
        if (Status status = in_range(at + ".temperature_interval", a.temperature_interval, 1, kMaxSize);
            !status.ok())
            return status;
    if (a.rotation == AttentionSpec::kNoRotation) return {};
    const int n_rotations = static_cast<int>(s.rotations.size());
    if (a.rotation < 0 || a.rotation >= n_rotations)
        return invalid(at + ".rotation is " + std::to_string(a.rotation) + "; the model has " +
                       std::to_string(n_rotations) + " rotations");
    if (2 * s.rotations[static_cast<size_t>(a.rotation)].frequencies.size() > static_cast<size_t>(a.d_head))
        return invalid("RoPE rotates more columns than " + at + ".d_head, " + std::to_string(a.d_head));
    return {};
}

// Keys and values can be read from an earlier layer that computes some of the same shape.
Status check_source(const ModelSpec& s, size_t layer, const std::string& at) {
    const AttentionSpec& a = s.layers[layer].attention;
    if (a.has_keys()) return {};
    const std::string field = at + ".attention.source is " + std::to_string(a.source);
    if (a.source < 0 || static_cast<size_t>(a.source) >= layer)
        return invalid(field + "; expected an earlier layer");
    const LayerSpec& source = s.layer(a.source);
    if (!source.has_attention() || !source.attention.has_keys())
        return invalid(field + ", which has no keys and values of its own");
    if (source.attention.n_kv_heads != a.n_kv_heads || source.attention.d_head != a.d_head)
        return invalid(field + ", whose keys have another shape");
    if (source.attention.rule.window != 0 &&
        (a.rule.window == 0 || a.rule.window > source.attention.rule.window))
        return invalid(field + ", whose window is smaller");
    return {};
}

Status check(const FfnSpec& ffn, const std::string& at) {
    if (ffn.kind == FfnKind::kNone) return {};
    if (!(ffn.activation_slope > 0 && std::isfinite(ffn.activation_slope)))
        return invalid(at + ".activation_slope must be positive and finite");
    if (!(ffn.limit >= 0 && std::isfinite(ffn.limit)))
        return invalid(at + ".limit must be finite and not negative");
    if (!std::isfinite(ffn.up_offset)) return invalid(at + ".up_offset is not a finite number");
    if (Status status = in_range(at + ".d_shared", ffn.d_shared, 0, 1 << 22); !status.ok()) return status;
    if (Status status = in_range(at + ".d_ff", ffn.d_ff, 1, 1 << 22); !status.ok()) return status;
    if (ffn.is_shifted && ffn.kind != FfnKind::kPlain) return invalid(at + " is shifted, but not plain");
    if (ffn.kind != FfnKind::kMixture) return {};
    if (Status status = in_range(at + ".n_experts", ffn.n_experts, 1, 1024); !status.ok()) return status;
    return in_range(at + ".n_active", ffn.n_active, 1, ffn.n_experts);
}

Status check(const LayerSpec& layer, const ModelSpec& s, const std::string& at) {
    if (Status status = check(layer.norm, at + ".norm"); !status.ok()) return status;
    const Status mixer = layer.has_attention() ? check(layer.attention, s, at + ".attention")
                                               : layer.recurrence->check(at + ".recurrence", s.d_model);
    if (!mixer.ok()) return mixer;
    if (Status status = check(layer.ffn, at + ".ffn"); !status.ok()) return status;
    if (!std::isfinite(layer.residual_scale)) return invalid(at + ".residual_scale is not a finite number");
    if (layer.ffn.is_shifted && layer.has_attention())
        return invalid(at + ".ffn is shifted; such a block needs a recurrence");
    if (layer.placement == Placement::kPre) return {};
    if (layer.placement == Placement::kParallel && !layer.has_attention())
        return invalid(at + " has a recurrence; such a block cannot be parallel");
    if (layer.ffn.kind == FfnKind::kNone)
        return invalid(at + " has no feed-forward; such a block must be pre-norm");
    if (layer.ffn.kind == FfnKind::kMixture)
        return invalid(at + " has experts; such a block must be pre-norm");
    return {};
}

Status check_per_layer(const ModelSpec& s) {
    if (Status status = in_range("d_per_layer", s.d_per_layer, 0, 1 << 16); !status.ok()) return status;
    if (s.d_per_layer == 0) return {};
    for (const LayerSpec& layer : s.layers)
        if (layer.norm.kind == NormKind::kNone) return invalid("per-layer inputs need blocks with norms");
    return {};
}

Status check_embedding(const ModelSpec& s) {
    if (s.n_positions != 0 && (s.n_positions < s.n_ctx || s.n_positions > kMaxSize))
        return invalid("n_ctx is " + std::to_string(s.n_ctx) + "; the model has " +
                       std::to_string(s.n_positions) + " positions");
    const PositionEncoding* encoding = s.embedding_position.encoding;
    if (encoding != nullptr && encoding->add == nullptr)
        return invalid(std::string(encoding->kind) + " is not added to the embedding");
    for (const float factor : {s.embedding_scale, s.head_scale, s.head_softcap})
        if (!std::isfinite(factor)) return invalid("a scale factor of the model is not a finite number");
    return {};
}

}  // namespace

const Rotation& ModelSpec::rotation_of(const AttentionSpec& attention) const {
    static const Rotation none;
    if (attention.rotation == AttentionSpec::kNoRotation) return none;
    return rotations[static_cast<size_t>(attention.rotation)];
}

std::vector<LayerCache> caches(const ModelSpec& spec) {
    std::vector<LayerCache> caches;
    for (const LayerSpec& layer : spec.layers) {
        const AttentionSpec& a = layer.attention;
        if (!layer.has_attention()) {
            const size_t n_ffn = layer.ffn.is_shifted ? static_cast<size_t>(spec.d_model) : 0;
            caches.push_back(LayerCache::state(layer.recurrence->n_state_floats(spec.d_model) + n_ffn));
        } else if (!a.has_keys()) {
            caches.push_back(LayerCache::shared(a.source));
        } else if (a.rule.window > 0) {
            caches.push_back(LayerCache::sliding(a.n_kv_heads, a.d_head, a.rule.window));
        } else {
            caches.push_back(LayerCache::pages(a.n_kv_heads, a.d_head));
        }
    }
    return caches;
}

Status check(const ModelSpec& s) {
    const Size sizes[] = {
        {"d_model", s.d_model, 1 << 20}, {"n_ctx", s.n_ctx, kMaxSize}, {"n_vocab", s.n_vocab, kMaxSize}};
    if (Status status = in_range("", sizes); !status.ok()) return status;
    const int n_layers = static_cast<int>(std::min<size_t>(s.layers.size(), kMaxLayers + 1));
    if (Status status = in_range("n_layers", n_layers, 1, kMaxLayers); !status.ok()) return status;
    if (Status status = check(s.final_norm, "final_norm"); !status.ok()) return status;
    if (Status status = check(s.embedding_norm, "embedding_norm"); !status.ok()) return status;
    if (Status status = check_embedding(s); !status.ok()) return status;
    if (Status status = check_per_layer(s); !status.ok()) return status;
    for (size_t i = 0; i < s.rotations.size(); ++i)
        if (Status status = check(s.rotations[i], "rotations[" + std::to_string(i) + "]"); !status.ok())
            return status;
    for (size_t i = 0; i < s.layers.size(); ++i) {
        const std::string at = "layers[" + std::to_string(i) + "]";
        if (Status status = check(s.layers[i], s, at); !status.ok()) return status;
        if (Status status = check_source(s, i, at); !status.ok()) return status;
    }
    return {};
}

}  // namespace zp
