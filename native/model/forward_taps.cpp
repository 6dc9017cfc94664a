// Recording and modifying a forward pass at its taps. forward.cpp reaches this code through one comparison
// per tap; an inactive tap of a tapped pass costs one set lookup more.
#include <algorithm>
#include <numeric>

#include "model/forward.hpp"
#include "ops/attention_weights.hpp"

namespace zp {

void Forward::prepare_taps(const Batch& batch) {
    const auto is_intervention = [](const Interventions* interventions) { return interventions != nullptr; };
    has_taps_ = recorder_ != nullptr ||
                std::any_of(batch.interventions.begin(), batch.interventions.end(), is_intervention);
    if (!has_taps_) return;
    tapped_batch_ = &batch;
    active_taps_ = recorder_ != nullptr ? recorder_->taps() : TapSet();
    for (const Interventions* interventions : batch.interventions)
        if (interventions != nullptr) active_taps_.add(interventions->taps());
    if (recorder_ == nullptr || !recorder_->has_lens()) return;
    lens_rows_.resize(static_cast<size_t>(n_tokens_));
    std::iota(lens_rows_.begin(), lens_rows_.end(), 0);
    lens_logits_.resize(lens_rows_.size() * static_cast<size_t>(padded(spec_.n_vocab)));
}

void Forward::at_tap(int thread, Tap tap, int layer, const TapRows& rows) {
    if (!active_taps_.has(tap, layer)) return;
    pool_.barrier();
    for (size_t s = 0; s < tapped_batch_->slices.size(); ++s) {
        const Slice& slice = tapped_batch_->slices[s];
        const Interventions* interventions =
            tapped_batch_->interventions.empty() ? nullptr : tapped_batch_->interventions[s];
        const Range range = thread_range(slice.n_tokens, thread, pool_.size());
        const int position = slice.n_dropped + slice.first_position + range.begin,
                  n = range.end - range.begin;
        const size_t first = static_cast<size_t>(slice.first_row + range.begin);
        if (rows.mutable_rows != nullptr && interventions != nullptr &&
            interventions->taps().has(tap, layer)) {
            interventions->apply(tap, layer, position, n, rows.mutable_rows + first * rows.stride,
                                 rows.stride);
            if (rows.reader != nullptr && uses_int8(*rows.reader, is_exact_)) {
                const size_t n_blocks = static_cast<size_t>(rows.reader->cols / kBlockCols);
                for (size_t r = first; r < first + static_cast<size_t>(n); ++r)
                    kernels_.quantize(rows.mutable_rows + r * rows.stride, rows.reader->cols,
                                      ff_blocks_ + r * n_blocks);
            }
        }
        if (recorder_ != nullptr)
            recorder_->record(tap, layer, position, n, rows.rows + first * rows.stride, rows.stride);
    }
    pool_.barrier();
}

void Forward::record_attention(int thread, const Batch& batch, int layer) {
    RecordedTap* weights = recorder_ != nullptr ? recorder_->find(Tap::kWeights, layer) : nullptr;
    if (weights == nullptr) return;
    const Slice& slice = batch.slices.front();
    const AttentionSpec& spec = spec_.layer(layer).attention;
    const AttentionRule rule = rule_of(layer);
    const size_t width = static_cast<size_t>(weights->width), d_head = static_cast<size_t>(spec.d_head);
    const int n_heads = static_cast<int>(weights->heads.size());
    const Range range = thread_range(slice.n_tokens * n_heads, thread, pool_.size());
    // Items are ordered by head, so that a thread expands the keys of few heads.
    std::vector<float> keys;
    for (int item = range.begin; item < range.end; ++item) {
        const int token = item % slice.n_tokens, position = slice.first_position + token;
        const size_t table = static_cast<size_t>(item / slice.n_tokens);
        const size_t head = static_cast<size_t>(weights->heads[table]);
        if (item == range.begin || token == 0)
            keys = keys_of(slice.cache, layer, static_cast<int>(head) / (spec.n_heads / spec.n_kv_heads),
                           slice.first_position + slice.n_tokens);
        attention_weights(keys.data(), spec.d_head, rule, static_cast<int>(head), position,
                          q_ + static_cast<size_t>(slice.first_row + token) * query_stride_ + head * d_head,
                          weights->values.data() + (table * width + static_cast<size_t>(position)) * width);
    }
}

void Forward::record_lens(int thread, int layer) {
    LensRows* into = recorder_ != nullptr ? recorder_->find_lens(layer) : nullptr;
    if (into == nullptr) return;
    head(thread, lens_rows_, lens_logits_.data());
    pool_.barrier();
    const Range range = thread_range(n_tokens_, thread, pool_.size());
    const size_t stride = static_cast<size_t>(padded(spec_.n_vocab));
    const int position = tapped_batch_->slices.front().first_position;
    for (int r = range.begin; r < range.end; ++r)
        if (!recorder_->record_logits(*into, position + r,
                                      lens_logits_.data() + static_cast<size_t>(r) * stride, kernels_))
            record_nonfinite(layer);
    pool_.barrier();
}

}  // namespace zp
