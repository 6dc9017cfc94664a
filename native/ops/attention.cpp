#include "ops/attention.hpp"

#include <algorithm>

namespace zp {

namespace {

// Query rows that share one read of the keys: more reuse, but also more to keep in the first-level cache.
constexpr int kRowsAUnit = 24;

auto attend_of(const Kernels& kernels, CacheType type) {
    return type == CacheType::kInt16  ? kernels.attend_int16
           : type == CacheType::kInt8 ? kernels.attend_int8
           : type == CacheType::kHalf ? kernels.attend_half
                                      : kernels.attend_float;
}

int chunks_of(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace

struct Attention::Rows {
    const float* q[kMostQueriesAHead];
    int n_visible[kMostQueriesAHead];
    int n_hidden[kMostQueriesAHead];
    float softcap = 0.0f;
    int n = 0;

    int n_positions() const { return n_visible[n - 1]; }  // rows come in the order of their tokens
    int first_chunk() const { return n_hidden[0] / kChunk; }
    int n_chunks() const { return chunks_of(n_positions()); }
    bool sees(int row, int chunk) const {
        return n_visible[row] > chunk * kChunk && n_hidden[row] < (chunk + 1) * kChunk;
    }
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

Attention::Partial Attention::stored_at(float* scratch, size_t unit, int chunk) const {
    return partial_at(scratch, 2 * static_cast<size_t>(n_threads_) + unit * n_chunks_ + chunk);
}

Attention::Rows Attention::rows_of(const AttentionUnit& unit, const Slice& slice, const AttentionRule& rule,
                                   const Io& io) const {
    Rows rows;
    rows.softcap = rule.softcap;
    for (int t = 0; t < unit.n_tokens; ++t) {
        const int token = unit.first_token + t;
        const float* q = io.q + static_cast<size_t>(slice.first_row + token) * io.q_stride;
        const int n_visible = slice.first_position + token + 1;
        for (int g = 0; g < group(); ++g) {
            rows.q[rows.n] = q + static_cast<size_t>(unit.head * group() + g) * sizes_.d_head;
            rows.n_hidden[rows.n] = rule.window > 0 ? std::max(n_visible - rule.window, 0) : 0;
            rows.n_visible[rows.n++] = n_visible;
        }
    }
    return rows;
}

void Attention::attend(const Kernels& kernels, const Slice& slice, int layer, const Rows& rows, int head,
                       int chunk, const Partial& out) const {
    const int begin = chunk * kChunk;
    const HeadPage page = slice.cache.head_page(layer, head, chunk);
    const AttendChunk job = {rows.q,
                             rows.n_visible,
                             rows.n_hidden,
                             rows.softcap,
                             rows.n,
                             sizes_.d_head,
                             padded(sizes_.d_head),
                             page.keys,
                             page.values,
                             page.key_steps,
                             page.value_steps,
                             begin,
                             std::min(begin + kChunk, rows.n_positions()),
                             out.peak,
                             out.total,
                             out.sum};
    attend_of(kernels, slice.cache.layout.type)(job);
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

template <class PartOf>
void Attention::fold(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice, const Rows& rows,
                     const Partial& running, const Io& io, const PartOf& part_of) const {
    const size_t d_value = static_cast<size_t>(padded(sizes_.d_head));
    // Merging into nothing seen yet gives the first chunk as it is: its weight is e^0, that of nothing 0.
    std::fill_n(running.peak, rows.n, -3.0e38f);
    std::fill_n(running.total, rows.n, 0.0f);
    std::fill_n(running.sum, rows.n * d_value, 0.0f);
    for (int chunk = rows.first_chunk(); chunk < rows.n_chunks(); ++chunk) {
        const Partial part = part_of(chunk);
        for (int r = 0; r < rows.n; ++r) {
            if (!rows.sees(r, chunk)) continue;
            kernels.merge(&running.peak[r], &running.total[r], running.sum + r * d_value, part.peak[r],
                          part.total[r], part.sum + r * d_value, padded(sizes_.d_head));
        }
    }
    write(kernels, unit, slice, running, io);
}

void Attention::run(const Kernels& kernels, const std::vector<Slice>& slices, int layer,
                    const AttentionRule& rule, const Io& io, int thread) const {
    if (is_split()) {
        const int n_items = static_cast<int>(units_.size()) * n_chunks_;
        for (int item = thread; item < n_items; item += n_threads_) {
            const size_t u = static_cast<size_t>(item / n_chunks_);
            const int chunk = item % n_chunks_;
            const Rows rows = rows_of(units_[u], slices[units_[u].slice], rule, io);
            if (chunk < rows.first_chunk() || chunk >= rows.n_chunks()) continue;
            attend(kernels, slices[units_[u].slice], layer, rows, units_[u].head, chunk,
                   stored_at(io.scratch, u, chunk));
        }
        return;
    }
    const Partial running = partial_at(io.scratch, 2 * static_cast<size_t>(thread));
    const Partial fresh = partial_at(io.scratch, 2 * static_cast<size_t>(thread) + 1);
    for (size_t u = static_cast<size_t>(thread); u < units_.size(); u += n_threads_) {
        const Slice& slice = slices[units_[u].slice];
        const Rows rows = rows_of(units_[u], slice, rule, io);
        fold(kernels, units_[u], slice, rows, running, io, [&](int chunk) {
            attend(kernels, slice, layer, rows, units_[u].head, chunk, fresh);
            return fresh;
        });
    }
}

void Attention::join(const Kernels& kernels, const std::vector<Slice>& slices, const AttentionRule& rule,
                     const Io& io, int thread) const {
    const Partial running = partial_at(io.scratch, 2 * static_cast<size_t>(thread));
    for (size_t u = static_cast<size_t>(thread); u < units_.size(); u += n_threads_) {
        const Slice& slice = slices[units_[u].slice];
        const Rows rows = rows_of(units_[u], slice, rule, io);
        fold(kernels, units_[u], slice, rows, running, io,
             [&](int chunk) { return stored_at(io.scratch, u, chunk); });
    }
}

}  // namespace zp
