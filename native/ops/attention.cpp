#include "ops/attention.hpp"

#include <algorithm>

namespace zp {

namespace {

// Query rows that share one read of the keys: more reuse, but also more to keep in the first-level cache.
constexpr int kRowsAUnit = 24;

int chunks_of(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace

struct Attention::Rows {
    const float* q[kMostQueriesAHead];
    int n_visible[kMostQueriesAHead];
    int n = 0;
    int n_positions = 0;  // most that any row may see
};

int Attention::tokens_a_unit() const { return std::max(1, kRowsAUnit / group()); }

void Attention::plan(const std::vector<Slice>& slices, const AttentionSizes& sizes, int n_threads) {
    sizes_ = sizes;
    n_threads_ = n_threads;
    units_.clear();
    int longest = 0;
    for (int s = 0; s < static_cast<int>(slices.size()); ++s) {
        longest = std::max(longest, slices[s].first_position + slices[s].n_tokens);
        for (int token = 0; token < slices[s].n_tokens; token += tokens_a_unit()) {
            const int n = std::min(tokens_a_unit(), slices[s].n_tokens - token);
            for (int head = 0; head < sizes.n_kv_heads; ++head) units_.push_back({s, head, token, n});
        }
    }
    const bool is_scarce = static_cast<int>(units_.size()) < 4 * n_threads;
    n_chunks_ = n_threads > 1 && is_scarce && longest > kChunk ? chunks_of(longest) : 0;
}

size_t Attention::partial_floats() const {
    return static_cast<size_t>(std::max(kRowsAUnit, group())) * (padded(sizes_.d_head) + 2);
}

size_t Attention::scratch_floats() const {
    // Each thread has a running and a fresh partial result; then come the stored ones.
    return (2 * static_cast<size_t>(n_threads_) + units_.size() * n_chunks_) * partial_floats();
}

Attention::Partial Attention::partial_at(float* scratch, size_t index) const {
    const size_t n_rows = static_cast<size_t>(std::max(kRowsAUnit, group()));
    float* base = scratch + index * partial_floats();
    return {base, base + n_rows, base + 2 * n_rows};
}

Attention::Rows Attention::rows_of(const AttentionUnit& unit, const Slice& slice, const Io& io) const {
    Rows rows;
    for (int t = 0; t < unit.n_tokens; ++t) {
        const int token = unit.first_token + t;
        const float* q = io.q + static_cast<size_t>(slice.first_row + token) * io.q_stride;
        for (int g = 0; g < group(); ++g) {
            rows.q[rows.n] = q + static_cast<size_t>(unit.head * group() + g) * sizes_.d_head;
            rows.n_visible[rows.n++] = slice.first_position + token + 1;
        }
    }
    rows.n_positions = rows.n_visible[rows.n - 1];
    return rows;
}

void Attention::attend(const Kernels& kernels, const Slice& slice, int layer, const Rows& rows, int head,
                       int chunk, const Partial& out) const {
    const int begin = chunk * kChunk;
    const AttendChunk job = {rows.q,
                             rows.n_visible,
                             rows.n,
                             sizes_.d_head,
                             padded(sizes_.d_head),
                             slice.cache.keys(layer, head),
                             slice.cache.values(layer, head),
                             begin,
                             std::min(begin + kChunk, rows.n_positions),
                             out.peak,
                             out.total,
                             out.sum};
    (slice.cache.is_half ? kernels.attend_half : kernels.attend_float)(job);
}

void Attention::write(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice,
                      const Partial& result, const Io& io) const {
    int row = 0;
    for (int t = 0; t < unit.n_tokens; ++t) {
        float* y = io.y + static_cast<size_t>(slice.first_row + unit.first_token + t) * io.y_stride;
        for (int g = 0; g < group(); ++g, ++row) {
            kernels.normalize(result.sum + static_cast<size_t>(row) * padded(sizes_.d_head),
                              result.total[row], sizes_.d_head,
                              y + static_cast<size_t>(unit.head * group() + g) * sizes_.d_head);
        }
    }
}

void Attention::run(const Kernels& kernels, const std::vector<Slice>& slices, int layer, const Io& io,
                    int thread) const {
    const int d_value = padded(sizes_.d_head);
    if (is_split()) {
        const int n_items = static_cast<int>(units_.size()) * n_chunks_;
        for (int item = thread; item < n_items; item += n_threads_) {
            const AttentionUnit& unit = units_[item / n_chunks_];
            const Rows rows = rows_of(unit, slices[unit.slice], io);
            if (item % n_chunks_ * kChunk >= rows.n_positions) continue;
            attend(kernels, slices[unit.slice], layer, rows, unit.head, item % n_chunks_,
                   partial_at(io.scratch, 2 * n_threads_ + item));
        }
        return;
    }
    const Partial running = partial_at(io.scratch, 2 * thread);
    const Partial fresh = partial_at(io.scratch, 2 * thread + 1);
    for (size_t u = thread; u < units_.size(); u += n_threads_) {
        const AttentionUnit& unit = units_[u];
        const Slice& slice = slices[unit.slice];
        const Rows rows = rows_of(unit, slice, io);
        attend(kernels, slice, layer, rows, unit.head, 0, running);
        for (int chunk = 1; chunk < chunks_of(rows.n_positions); ++chunk) {
            attend(kernels, slice, layer, rows, unit.head, chunk, fresh);
            for (int r = 0; r < rows.n; ++r) {
                if (rows.n_visible[r] <= chunk * kChunk) continue;
                kernels.merge(&running.peak[r], &running.total[r], running.sum + r * d_value, fresh.peak[r],
                              fresh.total[r], fresh.sum + r * d_value, d_value);
            }
        }
        write(kernels, unit, slice, running, io);
    }
}

void Attention::join(const Kernels& kernels, const std::vector<Slice>& slices, const Io& io,
                     int thread) const {
    const int d_value = padded(sizes_.d_head);
    for (size_t u = thread; u < units_.size(); u += n_threads_) {
        const AttentionUnit& unit = units_[u];
        const Slice& slice = slices[unit.slice];
        const Rows rows = rows_of(unit, slice, io);
        const size_t first = 2 * n_threads_ + u * n_chunks_;
        const Partial running = partial_at(io.scratch, first);
        for (int chunk = 1; chunk < chunks_of(rows.n_positions); ++chunk) {
            const Partial part = partial_at(io.scratch, first + chunk);
            for (int r = 0; r < rows.n; ++r) {
                if (rows.n_visible[r] <= chunk * kChunk) continue;
                kernels.merge(&running.peak[r], &running.total[r], running.sum + r * d_value, part.peak[r],
                              part.total[r], part.sum + r * d_value, d_value);
            }
        }
        write(kernels, unit, slice, running, io);
    }
}

}  // namespace zp
