#include "model/taps.hpp"

#include <iterator>

namespace zp {

namespace {

constexpr const char* kNames[] = {"embedding.output",
                                  "attention_norm",
                                  "attention.query",
                                  "attention.key",
                                  "attention.value",
                                  "attention.key_rotated",
                                  "attention.weights",
                                  "attention.context",
                                  "attention.output",
                                  "attention_output_norm",
                                  "after_attention",
                                  "ffn_norm",
                                  "ffn.up",
                                  "ffn.hidden",
                                  "ffn.output",
                                  "ffn_output_norm",
                                  "after_ffn",
                                  "logits"};
static_assert(std::size(kNames) == static_cast<size_t>(Tap::kLogits) + 1);

bool is_outside_blocks(Tap tap) { return tap == Tap::kEmbeddingOutput || tap == Tap::kLogits; }

// Whether a block of this kind computes the tap as separate rows rather than fusing it away.
bool has_tap(Tap tap, const LayerSpec& spec) {
    const bool has_ffn = spec.ffn.kind != FfnKind::kNone;
    const bool is_mixture = spec.ffn.kind == FfnKind::kMixture;
    const bool is_parallel = spec.placement == Placement::kParallel;
    const bool is_sandwich = spec.placement == Placement::kSandwich;
    switch (tap) {
        case Tap::kAttentionNorm:
            return spec.norm.kind != NormKind::kNone;
        case Tap::kFfnNorm:
            return spec.norm.kind != NormKind::kNone && has_ffn && !is_mixture && !is_parallel;
        case Tap::kKeyRotated:
            return spec.attention.rotation != AttentionSpec::kNoRotation;
        case Tap::kUp:
        case Tap::kHidden:
            return has_ffn && !is_mixture;
        case Tap::kAttentionOutput:
            return !is_sandwich;
        case Tap::kFfnOutput:
            return has_ffn && !is_mixture && !is_sandwich;
        case Tap::kAttentionOutputNorm:
            return is_sandwich;
        case Tap::kFfnOutputNorm:
            return is_sandwich && has_ffn && !is_mixture;
        case Tap::kAfterAttention:
            return !is_parallel;
        case Tap::kAfterFfn:
            return has_ffn;
        default:
            return true;
    }
}

}  // namespace

std::optional<Tap> tap_named(const std::string& name) {
    for (size_t i = 0; i < std::size(kNames); ++i)
        if (name == kNames[i]) return static_cast<Tap>(i);
    return std::nullopt;
}

std::vector<std::string> tap_names(const ModelSpec& spec) {
    std::vector<std::string> names;
    const auto add_all = [&](Tap first, Tap last, int layer) {
        for (int t = static_cast<int>(first); t <= static_cast<int>(last); ++t)
            if (tap_width(static_cast<Tap>(t), layer, spec) > 0)
                names.push_back((layer < 0 ? "" : "blocks." + std::to_string(layer) + ".") + kNames[t]);
    };
    add_all(Tap::kEmbeddingOutput, Tap::kEmbeddingOutput, -1);
    for (int layer = 0; layer < spec.n_layers(); ++layer) add_all(Tap::kAttentionNorm, Tap::kAfterFfn, layer);
    add_all(Tap::kLogits, Tap::kLogits, -1);
    return names;
}

int tap_width(Tap tap, int layer, const ModelSpec& spec) {
    if (is_outside_blocks(tap) != (layer == -1) || layer < -1 || layer >= spec.n_layers()) return 0;
    if (tap == Tap::kLogits) return spec.n_vocab;
    if (tap == Tap::kEmbeddingOutput) return spec.d_model;
    const LayerSpec& block = spec.layer(layer);
    if (!has_tap(tap, block)) return 0;
    switch (tap) {
        case Tap::kQuery:
        case Tap::kContext:
            return block.attention.n_query();
        case Tap::kKey:
        case Tap::kValue:
        case Tap::kKeyRotated:
            return block.attention.n_kv();
        case Tap::kUp:
        case Tap::kHidden:
            return block.ffn.d_ff;
        case Tap::kWeights:
            return 1;
        default:
            return spec.d_model;
    }
}

bool is_modifiable(Tap tap) {
    return tap == Tap::kEmbeddingOutput || tap == Tap::kContext || tap == Tap::kAfterAttention ||
           tap == Tap::kHidden || tap == Tap::kAfterFfn;
}

}  // namespace zp
