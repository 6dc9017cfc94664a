#include "model/taps.hpp"

#include <iterator>

#include "model/recurrence/recurrence.hpp"

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
                                  "attention.gate",
                                  "attention.output",
                                  "attention_output_norm",
                                  "after_attention",
                                  "recurrence_norm",
                                  "recurrence.input",
                                  "recurrence.qkv",
                                  "recurrence.convolution",
                                  "recurrence.alpha",
                                  "recurrence.beta",
                                  "recurrence.context",
                                  "recurrence.gate",
                                  "recurrence.gated",
                                  "recurrence.receptance",
                                  "recurrence.key",
                                  "recurrence.value",
                                  "recurrence.decay",
                                  "recurrence.rate",
                                  "recurrence.scan",
                                  "recurrence.norm",
                                  "recurrence.output",
                                  "recurrence_output_norm",
                                  "after_recurrence",
                                  "ffn_norm",
                                  "ffn.up",
                                  "ffn.hidden",
                                  "ffn.output",
                                  "ffn_output_norm",
                                  "after_ffn",
                                  "output",
                                  "logits"};
static_assert(std::size(kNames) == static_cast<size_t>(Tap::kLogits) + 1 && std::size(kNames) <= 64);

bool is_of_attention(Tap tap) { return tap >= Tap::kAttentionNorm && tap <= Tap::kAfterAttention; }
bool is_of_recurrence(Tap tap) { return tap >= Tap::kRecurrenceNorm && tap <= Tap::kAfterRecurrence; }
// The width of a tap of a recurrence's own, or 0.
int width_in(const std::vector<std::pair<Tap, int>>& taps, Tap tap) {
    for (const auto& [known, width] : taps)
        if (known == tap) return width;
    return 0;
}

// Whether up(x) is changed where it is stored.
bool overwrites_up(const FfnSpec& ffn) {
    return ffn.kind == FfnKind::kGated ? ffn.limit > 0 || ffn.up_offset != 0 : ffn.activation_slope != 1.0f;
}

bool is_outside_blocks(Tap tap) { return tap == Tap::kEmbeddingOutput || tap == Tap::kLogits; }

// Whether a block of this kind computes the tap as separate rows rather than fusing it away.
bool has_tap(Tap tap, const LayerSpec& spec) {
    const bool has_ffn = spec.ffn.kind != FfnKind::kNone;
    const bool is_mixture = spec.ffn.kind == FfnKind::kMixture;
    const bool is_parallel = spec.placement == Placement::kParallel;
    const bool is_sandwich = has_output_norm(spec.placement);
    switch (tap) {
        case Tap::kAttentionNorm:
        case Tap::kRecurrenceNorm:
            return spec.norm.kind != NormKind::kNone && has_input_norm(spec.placement);
        case Tap::kContextGate:
            return spec.attention.has_output_gate;
        case Tap::kKey:
        case Tap::kValue:
            return spec.attention.has_keys();
        case Tap::kFfnNorm:
            return spec.norm.kind != NormKind::kNone && has_input_norm(spec.placement) && has_ffn &&
                   !is_mixture && !is_parallel;
        case Tap::kKeyRotated:
            return spec.attention.rotation != AttentionSpec::kNoRotation && spec.attention.has_keys();
        case Tap::kUp:
            return has_ffn && !is_mixture && !overwrites_up(spec.ffn);
        case Tap::kHidden:
            return has_ffn && !is_mixture;
        case Tap::kAttentionOutput:
        case Tap::kRecurrenceOutput:
            return !is_sandwich;
        case Tap::kFfnOutput:
            return has_ffn && !is_mixture && !is_sandwich;
        case Tap::kAttentionOutputNorm:
        case Tap::kRecurrenceOutputNorm:
            return is_sandwich;
        case Tap::kFfnOutputNorm:
            return is_sandwich && has_ffn && !is_mixture;
        case Tap::kAfterAttention:
            return !is_parallel;
        case Tap::kAfterFfn:
            return has_ffn;
        case Tap::kBlockOutput:
            return false;  // depends on the model, too
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
    for (int layer = 0; layer < spec.n_layers(); ++layer)
        add_all(Tap::kAttentionNorm, Tap::kBlockOutput, layer);
    add_all(Tap::kLogits, Tap::kLogits, -1);
    return names;
}

int tap_width(Tap tap, int layer, const ModelSpec& spec) {
    if (is_outside_blocks(tap) != (layer == -1) || layer < -1 || layer >= spec.n_layers()) return 0;
    if (tap == Tap::kLogits) return spec.n_vocab;
    if (tap == Tap::kEmbeddingOutput) return spec.d_model;
    const LayerSpec& block = spec.layer(layer);
    if (tap == Tap::kBlockOutput) return spec.has_finish(layer) ? spec.d_model : 0;
    if (block.has_attention() ? is_of_recurrence(tap) : is_of_attention(tap)) return 0;
    if (!has_tap(tap, block)) return 0;
    switch (tap) {
        case Tap::kQuery:
        case Tap::kContextGate:
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
        case Tap::kRecurrenceNorm:
        case Tap::kRecurrenceOutput:
        case Tap::kRecurrenceOutputNorm:
        case Tap::kAfterRecurrence:
            return spec.d_model;
        default:
            return is_of_recurrence(tap) ? width_in(block.recurrence->taps(spec.d_model), tap) : spec.d_model;
    }
}

bool is_modifiable(Tap tap) {
    return tap == Tap::kEmbeddingOutput || tap == Tap::kContext || tap == Tap::kAfterAttention ||
           tap == Tap::kAfterRecurrence || tap == Tap::kHidden || tap == Tap::kAfterFfn ||
           tap == Tap::kBlockOutput;
}

}  // namespace zp
