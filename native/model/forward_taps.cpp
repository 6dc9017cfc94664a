// A pass that somebody looks at or changes. All of it is reached through one comparison a point in
// forward.cpp, and a point that nobody wants costs two even here.
#include <algorithm>
#include <numeric>

#include "model/forward.hpp"
#include "ops/attention_weights.hpp"

namespace zp {

void Forward::watch(const Batch& batch) {
    const auto is_edit = [](const Edits* edits) { return edits != nullptr; };
    is_watched_ = probe_ != nullptr || std::any_of(batch.edits.begin(), batch.edits.end(), is_edit);
    if (!is_watched_) return;
    watched_ = &batch;
    visited_ = probe_ != nullptr ? probe_->points() : PointSet();
    for (const Edits* edits : batch.edits)
        if (edits != nullptr) visited_.add(edits->points());
    if (probe_ == nullptr || !probe_->wants_lens()) return;
    lens_rows_.resize(static_cast<size_t>(n_tokens_));
    std::iota(lens_rows_.begin(), lens_rows_.end(), 0);
    lens_logits_.resize(lens_rows_.size() * static_cast<size_t>(padded(spec_.n_vocab)));
}

void Forward::visit(int thread, Point point, int layer, const PointRows& rows) {
    if (!visited_.has(point, layer)) return;
    pool_.barrier();
    for (size_t s = 0; s < watched_->slices.size(); ++s) {
        const Slice& slice = watched_->slices[s];
        const Edits* edits = watched_->edits.empty() ? nullptr : watched_->edits[s];
        const Range range = thread_range(slice.n_tokens, thread, pool_.size());
        const int position = slice.n_dropped + slice.first_position + range.begin,
                  n = range.end - range.begin;
        const size_t first = static_cast<size_t>(slice.first_row + range.begin);
        if (rows.changed != nullptr && edits != nullptr && edits->points().has(point, layer)) {
            edits->apply(point, layer, position, n, rows.changed + first * rows.stride, rows.stride);
            if (rows.reader != nullptr && uses_int8(*rows.reader, is_exact_)) {
                const size_t n_blocks = static_cast<size_t>(rows.reader->cols / kBlockCols);
                for (size_t r = first; r < first + static_cast<size_t>(n); ++r)
                    kernels_.quantize(rows.changed + r * rows.stride, rows.reader->cols,
                                      ff_blocks_ + r * n_blocks);
            }
        }
        if (probe_ != nullptr)
            probe_->take(point, layer, position, n, rows.shown + first * rows.stride, rows.stride);
    }
    pool_.barrier();
}

void Forward::weigh(int thread, const Batch& batch, int layer) {
    Reading* reading = probe_ != nullptr ? probe_->at(Point::kWeights, layer) : nullptr;
    if (reading == nullptr) return;
    const Slice& slice = batch.slices.front();
    const size_t width = static_cast<size_t>(reading->width), d_head = static_cast<size_t>(spec_.d_head);
    const int n_heads = static_cast<int>(reading->heads.size());
    const Range range = thread_range(slice.n_tokens * n_heads, thread, pool_.size());
    // One head after another, so that a thread expands the keys of few of them.
    std::vector<float> keys;
    for (int item = range.begin; item < range.end; ++item) {
        const int token = item % slice.n_tokens, position = slice.first_position + token;
        const size_t table = static_cast<size_t>(item / slice.n_tokens);
        const size_t head = static_cast<size_t>(reading->heads[table]);
        if (item == range.begin || token == 0)
            keys = keys_of(slice.cache, layer, static_cast<int>(head) / (spec_.n_heads / spec_.n_kv_heads),
                           slice.first_position + slice.n_tokens);
        attention_weights(keys.data(), spec_.d_head, spec_.rules[static_cast<size_t>(layer)], position,
                          q_ + static_cast<size_t>(slice.first_row + token) * query_stride_ + head * d_head,
                          reading->values.data() + (table * width + static_cast<size_t>(position)) * width);
    }
}

void Forward::show_lens(int thread, int layer) {
    LensRows* into = probe_ != nullptr ? probe_->lens_at(layer) : nullptr;
    if (into == nullptr) return;
    head(thread, lens_rows_, lens_logits_.data());
    pool_.barrier();
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    const size_t stride = static_cast<size_t>(padded(spec_.n_vocab));
    const int position = watched_->slices.front().first_position;
    for (int r = range.begin; r < range.end; ++r)
        if (!probe_->take_logits(*into, position + r, lens_logits_.data() + static_cast<size_t>(r) * stride,
                                 kernels_))
            blame(layer);
    pool_.barrier();
}

}  // namespace zp
