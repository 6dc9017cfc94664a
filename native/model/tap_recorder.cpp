#include "model/tap_recorder.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "ops/top_logits.hpp"

namespace zp {

namespace {

Status check(const RecordedTap& r, const ModelSpec& spec) {
    if (tap_width(r.tap, r.layer, spec) == 0)
        return invalid("layer " + std::to_string(r.layer) + " of this model does not have the requested tap");
    for (const int head : r.heads)
        if (head < 0 || head >= spec.layer(r.layer).attention.n_heads)
            return invalid("layer " + std::to_string(r.layer) + " has no head " + std::to_string(head));
    return {};
}

Status check(const LensRequest& lens, const ModelSpec& spec) {
    for (const int layer : lens.layers)
        if (layer < 0 || layer >= spec.n_layers())
            return invalid("the model has no layer " + std::to_string(layer));
    for (const int32_t id : lens.named)
        if (id < 0 || id >= spec.n_vocab) return invalid("the model has no token " + std::to_string(id));
    if (lens.n_top < 0 || lens.n_top > spec.n_vocab)
        return invalid("n_top is " + std::to_string(lens.n_top) + "; expected 0 to " +
                       std::to_string(spec.n_vocab));
    return {};
}

}  // namespace

Result<TapRecorder> TapRecorder::make(const ModelSpec& spec, std::span<const int32_t> ids,
                                      std::vector<RecordedTap> taps, LensRequest lens) {
    TapRecorder recorder;
    recorder.n_vocab_ = spec.n_vocab;
    recorder.ids_.assign(ids.begin(), ids.end());
    if (Status status = check(lens, spec); !status.ok()) return status.error();
    for (RecordedTap& r : taps) {
        if (Status status = check(r, spec); !status.ok()) return status.error();
        r.width = r.tap == Tap::kWeights ? static_cast<int>(ids.size()) : tap_width(r.tap, r.layer, spec);
        recorder.allocate(r);
        recorder.taps_.add(r.tap, r.layer);
    }
    recorder.lens_request_ = std::move(lens);
    for (const int layer : recorder.lens_request_.layers) {
        recorder.lens_.emplace_back();
        recorder.lens_.back().layer = layer;
        recorder.allocate(recorder.lens_.back());
    }
    recorder.recorded_ = std::move(taps);
    return recorder;
}

void TapRecorder::allocate(RecordedTap& r) const {
    const size_t n_tables = r.tap == Tap::kWeights ? r.heads.size() : 1;
    r.values.assign(n_tables * ids_.size() * static_cast<size_t>(r.width), 0.0f);
}

void TapRecorder::allocate(LensRows& rows) const {
    const size_t n = ids_.size();
    rows.top_ids.resize(n * static_cast<size_t>(lens_request_.n_top));
    rows.top_logprobs.resize(n * static_cast<size_t>(lens_request_.n_top));
    rows.named_logprobs.resize(n * lens_request_.named.size());
    rows.next_logprobs.resize(n > 0 ? n - 1 : 0);
    if (lens_request_.wants_logits) rows.logits.resize(n * static_cast<size_t>(n_vocab_));
}

RecordedTap* TapRecorder::find(Tap tap, int layer) {
    const auto found = std::find_if(recorded_.begin(), recorded_.end(),
                                    [&](const RecordedTap& r) { return r.tap == tap && r.layer == layer; });
    return found == recorded_.end() ? nullptr : &*found;
}

LensRows* TapRecorder::find_lens(int layer) {
    const auto found =
        std::find_if(lens_.begin(), lens_.end(), [&](const LensRows& rows) { return rows.layer == layer; });
    return found == lens_.end() ? nullptr : &*found;
}

void TapRecorder::record(Tap tap, int layer, int position, int n_rows, const float* rows, size_t stride) {
    RecordedTap* recorded = find(tap, layer);
    if (recorded == nullptr) return;
    const size_t width = static_cast<size_t>(recorded->width);
    for (int r = 0; r < n_rows; ++r)
        std::memcpy(recorded->values.data() + static_cast<size_t>(position + r) * width,
                    rows + static_cast<size_t>(r) * stride, width * sizeof(float));
}

bool TapRecorder::record_logits(LensRows& into, int position, const float* logits,
                                const Kernels& kernels) const {
    const size_t row = static_cast<size_t>(position);
    const size_t n_vocab = static_cast<size_t>(n_vocab_);
    const float normalizer = kernels.log_sum_exp(logits, n_vocab_);
    if (!std::isfinite(normalizer)) return false;
    if (row + 1 < ids_.size()) into.next_logprobs[row] = logits[ids_[row + 1]] - normalizer;
    for (size_t i = 0; i < lens_request_.named.size(); ++i)
        into.named_logprobs[row * lens_request_.named.size() + i] =
            logits[lens_request_.named[i]] - normalizer;
    if (lens_request_.wants_logits)
        std::memcpy(into.logits.data() + row * n_vocab, logits, n_vocab * sizeof(float));
    if (lens_request_.n_top == 0) return true;
    const size_t n_top = static_cast<size_t>(lens_request_.n_top);
    const std::vector<int32_t> order = top_ids(logits, n_vocab_, lens_request_.n_top);
    for (size_t i = 0; i < n_top; ++i) {
        into.top_ids[row * n_top + i] = order[i];
        into.top_logprobs[row * n_top + i] = logits[order[i]] - normalizer;
    }
    return true;
}

}  // namespace zp
