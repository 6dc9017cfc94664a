// The points of a pass where one may look, and those that one may change: blueprint/taps.py has the names.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/spec.hpp"

namespace zp {

enum class Point : uint8_t {
    kEmbeddingOutput,
    kAttentionNorm,
    kQuery,
    kKey,
    kValue,
    kKeyRotated,
    kWeights,
    kMix,
    kAttentionOutput,
    kAttentionOutputNorm,
    kAfterAttention,
    kFfnNorm,
    kUp,
    kHidden,
    kFfnOutput,
    kFfnOutputNorm,
    kAfterFfn,
    kLogits,
};

// The point with that name, without the block's ("attention.mix").
std::optional<Point> point_named(const std::string& name);
// Columns of a row at the point, or 0 where a model of this kind does not have it or has it elsewhere than
// in block `layer` (-1: outside of blocks). kWeights has as many as the text has tokens: 1 stands for them.
int width_of(Point point, int layer, const ModelSpec& spec);
// True where what is read afterwards is the rows at this point, so that changing them changes the pass.
bool is_writable(Point point);

// A bit for each point of each layer.
class PointSet {
public:
    void add(Point point, int layer) {
        const size_t at = static_cast<size_t>(layer + 1);
        if (bits_.size() <= at) bits_.resize(at + 1);
        bits_[at] |= 1u << static_cast<int>(point);
    }
    void add(const PointSet& others) {
        if (bits_.size() < others.bits_.size()) bits_.resize(others.bits_.size());
        for (size_t i = 0; i < others.bits_.size(); ++i) bits_[i] |= others.bits_[i];
    }
    bool has(Point point, int layer) const {
        const size_t at = static_cast<size_t>(layer + 1);
        return at < bits_.size() && (bits_[at] >> static_cast<int>(point) & 1u) != 0;
    }

private:
    std::vector<uint32_t> bits_;  // [1 + L], the first of what is outside of blocks
};

}  // namespace zp
