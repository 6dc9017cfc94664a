// Taps: the points of a forward pass at which activations can be recorded or modified. The native engine has
// the subset of blueprint/taps.py that it does not fuse away.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/spec.hpp"

namespace zp {

enum class Tap : uint8_t {
    kEmbeddingOutput,
    kAttentionNorm,
    kQuery,
    kKey,
    kValue,
    kKeyRotated,
    kWeights,
    kContext,
    kContextGate,
    kAttentionOutput,
    kAttentionOutputNorm,
    kAfterAttention,
    kRecurrenceNorm,
    kRecurrenceInput,
    kRecurrenceQkv,
    kRecurrenceConvolution,
    kRecurrenceAlpha,
    kRecurrenceBeta,
    kRecurrenceContext,
    kRecurrenceGate,
    kRecurrenceGated,
    kRecurrenceReceptance,
    kRecurrenceKey,
    kRecurrenceValue,
    kRecurrenceDecay,
    kRecurrenceRate,
    kRecurrenceScan,
    kRecurrenceInnerNorm,
    kRecurrenceOutput,
    kRecurrenceOutputNorm,
    kAfterRecurrence,
    kFfnNorm,
    kUp,
    kHidden,
    kFfnOutput,
    kFfnOutputNorm,
    kAfterFfn,
    kBlockOutput,
    kLogits,
};

// The tap with that name, without its block prefix ("attention.context").
std::optional<Tap> tap_named(const std::string& name);
// Columns of a row at the tap, or 0 if the model does not have it in block `layer` (-1: outside the blocks).
// For kWeights, whose rows have one column per token of the text, 1.
int tap_width(Tap tap, int layer, const ModelSpec& spec);
// The full names of a model's taps ("blocks.0.attention_norm"), in the order of the forward pass.
std::vector<std::string> tap_names(const ModelSpec& spec);
// Whether interventions may modify the rows at the tap: true if all later computation reads those rows.
bool is_modifiable(Tap tap);

// A set of taps: one bit per tap and layer.
class TapSet {
public:
    void add(Tap tap, int layer) {
        const size_t at = static_cast<size_t>(layer + 1);
        if (bits_.size() <= at) bits_.resize(at + 1);
        bits_[at] |= uint64_t{1} << static_cast<int>(tap);
    }
    void add(const TapSet& others) {
        if (bits_.size() < others.bits_.size()) bits_.resize(others.bits_.size());
        for (size_t i = 0; i < others.bits_.size(); ++i) bits_[i] |= others.bits_[i];
    }
    bool has(Tap tap, int layer) const {
        const size_t at = static_cast<size_t>(layer + 1);
        return at < bits_.size() && (bits_[at] >> static_cast<int>(tap) & 1u) != 0;
    }

private:
    std::vector<uint64_t> bits_;  // [1 + L]; the first is for taps outside the blocks
};

}  // namespace zp
