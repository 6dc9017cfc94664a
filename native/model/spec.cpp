#include "model/spec.hpp"

#include <cmath>

namespace zp {

namespace {

// Far above any published model, and small enough that products of two sizes fit in 64 bits with room to
// spare.
constexpr int kMaxSize = 1 << 24;
constexpr int kMaxLayers = 4096;

Status in_range(const char* name, int value, int max_value) {
    if (value >= 1 && value <= max_value) return {};
    return invalid(std::string(name) + " is " + std::to_string(value) + "; expected 1 to " +
                   std::to_string(max_value));
}

}  // namespace

Status check(const ModelSpec& s) {
    const struct {
        const char* name;
        int value, max_value;
    } sizes[] = {
        {"n_layers", s.n_layers, kMaxLayers}, {"n_heads", s.n_heads, 65536},
        {"n_kv_heads", s.n_kv_heads, 65536},  {"d_model", s.d_model, 1 << 20},
        {"d_head", s.d_head, 4096},           {"d_ff", s.ffn == FfnKind::kNone ? 1 : s.d_ff, 1 << 22},
        {"n_ctx", s.n_ctx, kMaxSize},         {"n_vocab", s.n_vocab, kMaxSize},
    };
    for (const auto& size : sizes)
        if (Status status = in_range(size.name, size.value, size.max_value); !status.ok()) return status;
    if (s.n_heads % s.n_kv_heads != 0) {
        return invalid("n_heads is " + std::to_string(s.n_heads) + "; expected a multiple of n_kv_heads, " +
                       std::to_string(s.n_kv_heads));
    }
    if (s.n_heads / s.n_kv_heads > kMaxQueriesPerKvHead)
        return invalid("n_heads / n_kv_heads is more than " + std::to_string(kMaxQueriesPerKvHead));
    if (static_cast<int64_t>(s.n_heads) * s.d_head > (1 << 22))
        return invalid("n_heads * d_head is too large; expected at most 4194304");
    if (s.norm != NormKind::kNone && !(s.norm_eps > 0.0f && std::isfinite(s.norm_eps)))
        return invalid("norm_eps must be positive and finite");
    if (s.rules.size() != static_cast<size_t>(s.n_layers))
        return invalid("rules must have one item per layer");
    for (const AttentionRule& rule : s.rules) {
        if (rule.window < 0) return invalid("a window must not be negative");
        if (!(rule.softcap >= 0.0f && std::isfinite(rule.softcap)))
            return invalid("a softcap must be finite and not negative");
    }
    if (s.rope_frequencies.size() * 2 > static_cast<size_t>(s.d_head))
        return invalid("RoPE rotates more columns than d_head, " + std::to_string(s.d_head));
    for (const float frequency : s.rope_frequencies)
        if (!std::isfinite(frequency)) return invalid("a RoPE frequency is not a finite number");
    for (const float factor :
         {s.rope_factor, s.attention_scale, s.embedding_scale, s.head_scale, s.head_softcap})
        if (!std::isfinite(factor)) return invalid("a scale factor of the model is not a finite number");
    if (s.n_positions != 0 && (s.n_positions < s.n_ctx || s.n_positions > kMaxSize))
        return invalid("n_ctx is " + std::to_string(s.n_ctx) + "; the model has " +
                       std::to_string(s.n_positions) + " positions");
    if (s.embedding_position.encoding != nullptr && s.embedding_position.encoding->add == nullptr)
        return invalid(std::string(s.embedding_position.encoding->kind) + " is not added to the embedding");
    if (s.head_rotation.encoding != nullptr && s.head_rotation.encoding->rotate == nullptr)
        return invalid(std::string(s.head_rotation.encoding->kind) + " does not rotate queries and keys");
    if (s.head_rotation.encoding != nullptr && !s.rope_frequencies.empty())
        return invalid("a model has either RoPE or another rotation of queries and keys");
    if (s.ffn == FfnKind::kNone && s.placement != Placement::kPre)
        return invalid("a block without a feed-forward must be pre-norm");
    if (s.ffn == FfnKind::kMixture &&
        (s.n_experts < 1 || s.n_experts > 1024 || s.n_active < 1 || s.n_active > s.n_experts))
        return invalid("a mixture needs 1 to 1024 experts, with at least one and at most all of them active");
    return {};
}

}  // namespace zp
