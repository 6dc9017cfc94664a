#include "model/tap_recorder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>

namespace zp {

namespace {

Status check(const Reading& r, const ModelSpec& spec) {
    if (width_of(r.point, r.layer, spec) == 0)
        return invalid("layer " + std::to_string(r.layer) + " of this model has no such point to read");
    for (const int head : r.heads)
        if (head < 0 || head >= spec.n_heads) return invalid("the model has no head " + std::to_string(head));
    return {};
}

Status check(const LensWish& lens, const ModelSpec& spec) {
    for (const int layer : lens.layers)
        if (layer < 0 || layer >= spec.n_layers)
            return invalid("the model has no layer " + std::to_string(layer));
    for (const int32_t id : lens.named)
        if (id < 0 || id >= spec.n_vocab) return invalid("the model has no token " + std::to_string(id));
    if (lens.n_top < 0 || lens.n_top > spec.n_vocab)
        return invalid("the vocabulary has no " + std::to_string(lens.n_top) + " best tokens");
    return {};
}

}  // namespace

Result<Probe> Probe::make(const ModelSpec& spec, std::span<const int32_t> ids, std::vector<Reading> readings,
                          LensWish lens) {
    Probe probe;
    probe.n_vocab_ = spec.n_vocab;
    probe.ids_.assign(ids.begin(), ids.end());
    if (Status status = check(lens, spec); !status.ok()) return status.error();
    for (Reading& r : readings) {
        if (Status status = check(r, spec); !status.ok()) return status.error();
        r.width =
            r.point == Point::kWeights ? static_cast<int>(ids.size()) : width_of(r.point, r.layer, spec);
        probe.reserve(r);
        probe.points_.add(r.point, r.layer);
    }
    probe.wish_ = std::move(lens);
    for (const int layer : probe.wish_.layers) {
        probe.lens_.emplace_back();
        probe.lens_.back().layer = layer;
        probe.reserve(probe.lens_.back());
    }
    probe.readings_ = std::move(readings);
    return probe;
}

void Probe::reserve(Reading& r) const {
    const size_t n_tables = r.point == Point::kWeights ? r.heads.size() : 1;
    r.values.assign(n_tables * ids_.size() * static_cast<size_t>(r.width), 0.0f);
}

void Probe::reserve(LensRows& rows) const {
    const size_t n = ids_.size();
    rows.top_ids.resize(n * static_cast<size_t>(wish_.n_top));
    rows.top_logprobs.resize(n * static_cast<size_t>(wish_.n_top));
    rows.named_logprobs.resize(n * wish_.named.size());
    rows.next_logprobs.resize(n > 0 ? n - 1 : 0);
    if (wish_.wants_logits) rows.logits.resize(n * static_cast<size_t>(n_vocab_));
}

Reading* Probe::at(Point point, int layer) {
    const auto found = std::find_if(readings_.begin(), readings_.end(),
                                    [&](const Reading& r) { return r.point == point && r.layer == layer; });
    return found == readings_.end() ? nullptr : &*found;
}

LensRows* Probe::lens_at(int layer) {
    const auto found =
        std::find_if(lens_.begin(), lens_.end(), [&](const LensRows& rows) { return rows.layer == layer; });
    return found == lens_.end() ? nullptr : &*found;
}

void Probe::take(Point point, int layer, int position, int n_rows, const float* rows, size_t stride) {
    Reading* into = at(point, layer);
    if (into == nullptr) return;
    const size_t width = static_cast<size_t>(into->width);
    for (int r = 0; r < n_rows; ++r)
        std::memcpy(into->values.data() + static_cast<size_t>(position + r) * width,
                    rows + static_cast<size_t>(r) * stride, width * sizeof(float));
}

bool Probe::take_logits(LensRows& into, int position, const float* logits, const Kernels& kernels) const {
    const size_t row = static_cast<size_t>(position);
    const size_t n_vocab = static_cast<size_t>(n_vocab_);
    const float normalizer = kernels.log_sum_exp(logits, n_vocab_);
    if (!std::isfinite(normalizer)) return false;
    if (row + 1 < ids_.size()) into.next_logprobs[row] = logits[ids_[row + 1]] - normalizer;
    for (size_t i = 0; i < wish_.named.size(); ++i)
        into.named_logprobs[row * wish_.named.size() + i] = logits[wish_.named[i]] - normalizer;
    if (wish_.wants_logits) std::memcpy(into.logits.data() + row * n_vocab, logits, n_vocab * sizeof(float));
    if (wish_.n_top == 0) return true;
    const size_t n_top = static_cast<size_t>(wish_.n_top);
    std::vector<int32_t> order(n_vocab);
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(
        order.begin(), order.begin() + wish_.n_top, order.end(),
        [logits](int32_t a, int32_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
    for (size_t i = 0; i < n_top; ++i) {
        into.top_ids[row * n_top + i] = order[i];
        into.top_logprobs[row * n_top + i] = logits[order[i]] - normalizer;
    }
    return true;
}

}  // namespace zp
