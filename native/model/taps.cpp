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
                                  "attention.mix",
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
static_assert(std::size(kNames) == static_cast<size_t>(Point::kLogits) + 1);

bool is_outside(Point point) { return point == Point::kEmbeddingOutput || point == Point::kLogits; }

// Whether a block of this kind has the point as rows of its own.
bool has_point(Point point, const ModelSpec& spec) {
    const bool has_ffn = spec.ffn != FfnKind::kNone;
    const bool is_mixture = spec.ffn == FfnKind::kMixture;
    const bool is_parallel = spec.placement == Placement::kParallel;
    const bool is_sandwich = spec.placement == Placement::kSandwich;
    switch (point) {
        case Point::kAttentionNorm:
            return spec.norm != NormKind::kNone;
        case Point::kFfnNorm:
            return spec.norm != NormKind::kNone && has_ffn && !is_mixture && !is_parallel;
        case Point::kKeyRotated:
            return !spec.rope_frequencies.empty();
        case Point::kUp:
        case Point::kHidden:
            return has_ffn && !is_mixture;
        case Point::kAttentionOutput:
            return !is_sandwich;
        case Point::kFfnOutput:
            return has_ffn && !is_mixture && !is_sandwich;
        case Point::kAttentionOutputNorm:
            return is_sandwich;
        case Point::kFfnOutputNorm:
            return is_sandwich && has_ffn && !is_mixture;
        case Point::kAfterAttention:
            return !is_parallel;
        case Point::kAfterFfn:
            return has_ffn;
        default:
            return true;
    }
}

}  // namespace

std::optional<Point> point_named(const std::string& name) {
    for (size_t i = 0; i < std::size(kNames); ++i)
        if (name == kNames[i]) return static_cast<Point>(i);
    return std::nullopt;
}

int width_of(Point point, int layer, const ModelSpec& spec) {
    if (is_outside(point) != (layer == -1) || layer < -1 || layer >= spec.n_layers) return 0;
    if (!has_point(point, spec)) return 0;
    switch (point) {
        case Point::kQuery:
        case Point::kMix:
            return spec.n_query();
        case Point::kKey:
        case Point::kValue:
        case Point::kKeyRotated:
            return spec.n_kv();
        case Point::kUp:
        case Point::kHidden:
            return spec.d_ff;
        case Point::kWeights:
            return 1;
        case Point::kLogits:
            return spec.n_vocab;
        default:
            return spec.d_model;
    }
}

bool is_writable(Point point) {
    return point == Point::kEmbeddingOutput || point == Point::kMix || point == Point::kAfterAttention ||
           point == Point::kHidden || point == Point::kAfterFfn;
}

}  // namespace zp
