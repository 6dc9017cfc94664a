#include "ops/attention.hpp"

#include <algorithm>

namespace zp {

namespace {

// Query rows that share one read of the keys. More rows mean more reuse, but also more data in the L1 cache.
constexpr int kRowsPerUnit = 24;

auto attend_of(const Kernels& kernels, CacheType type) {
    return type == CacheType::kInt16  ? kernels.attend_int16
           : type == CacheType::kInt8 ? kernels.attend_int8
           : type == CacheType::kHalf ? kernels.attend_half
                                      : kernels.attend_float;
}

// Units that go through the chunks together, so that only the first of them reads keys and values from
// memory; and the minimum number of passes per thread, for load balance, which takes precedence.
constexpr int kMaxUnitsPerPass = 8;
constexpr int kPassesPerThread = 8;

constexpr size_t kPartialsPerThread = kMaxUnitsPerPass + 1;

int chunks_of(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace

struct Attention::Rows {
    const float* q[kMaxQueriesPerKvHead];
    IntQueries int_q{};
    int n_visible[kMaxQueriesPerKvHead];
    int n_hidden[kMaxQueriesPerKvHead];
    float softcap = 0.0f;
    bool has_sinks = false;
    float sinks[kMaxQueriesPerKvHead];
    int n = 0;

    int n_positions() const { return n_visible[n - 1]; }  // rows are in token order
    int first_chunk() const { return n_hidden[0] / kChunk; }
    int n_chunks() const { return chunks_of(n_positions()); }
    bool overlaps(int chunk) const { return chunk >= first_chunk() && chunk < n_chunks(); }
    // Rows that attend to some position of a chunk. The first rows may end before it, and the windows of the
    // last may begin after it.
    Range rows_seeing(int chunk) const {
        int begin = 0, end = n;
        while (begin < end && n_visible[begin] <= chunk * kChunk) ++begin;
        while (begin < end && n_hidden[end - 1] >= (chunk + 1) * kChunk) --end;
        return {begin, end};
    }
};

int Attention::tokens_per_unit() const { return std::max(1, kRowsPerUnit / group()); }

void Attention::plan(const std::vector<Slice>& slices, const AttentionSizes& sizes, int n_threads) {
    sizes_ = sizes;
    n_threads_ = n_threads;
    units_.clear();
    int longest = 0;
    passes_.clear();
    int n_units = 0;
    for (const Slice& slice : slices)
        n_units += (slice.n_tokens + tokens_per_unit() - 1) / tokens_per_unit() * sizes.n_kv_heads;
    const int units_per_pass = std::clamp(n_units / (kPassesPerThread * n_threads), 1, kMaxUnitsPerPass);
    const int tokens_per_pass = units_per_pass * tokens_per_unit();
    for (int s = 0; s < static_cast<int>(slices.size()); ++s) {
        longest = std::max(longest, slices[s].first_position + slices[s].n_tokens);
        for (int first = 0; first < slices[s].n_tokens; first += tokens_per_pass) {
            const int end = std::min(first + tokens_per_pass, slices[s].n_tokens);
            for (int head = 0; head < sizes.n_kv_heads; ++head) {
                const int n_before = static_cast<int>(units_.size());
                for (int token = first; token < end; token += tokens_per_unit())
                    units_.push_back({s, head, token, std::min(tokens_per_unit(), end - token)});
                passes_.push_back({n_before, static_cast<int>(units_.size())});
            }
        }
    }
    const bool is_scarce = static_cast<int>(units_.size()) < 4 * n_threads;
    n_chunks_ = n_threads > 1 && is_scarce && longest > kChunk ? chunks_of(longest) : 0;
}

size_t Attention::partial_floats() const {
    return static_cast<size_t>(std::max(kRowsPerUnit, group())) * (padded(sizes_.d_head) + 2);
}

size_t Attention::int_query_floats() const {
    const size_t n_columns =
        (static_cast<size_t>(sizes_.d_head) + kIntColumns - 1) / kIntColumns * kIntColumns;
    return static_cast<size_t>(std::max(kRowsPerUnit, group())) * (n_columns / 2 + 1);
}

size_t Attention::scratch_floats() const {
    // Each thread has the running results of a pass, one chunk result and the pass's quantized queries; the
    // stored results of split units follow.
    const size_t n_threads = static_cast<size_t>(n_threads_);
    return (kPartialsPerThread * n_threads + units_.size() * n_chunks_) * partial_floats() +
           kMaxUnitsPerPass * n_threads * int_query_floats();
}

Partial Attention::partial_at(float* scratch, size_t index) const {
    const size_t n_rows = static_cast<size_t>(std::max(kRowsPerUnit, group()));
    float* base = scratch + index * partial_floats();
    return {base, base + n_rows, base + 2 * n_rows};
}

Partial Attention::thread_partial(float* scratch, int thread, int index) const {
    return partial_at(scratch, kPartialsPerThread * static_cast<size_t>(thread) + index);
}

Partial Attention::chunk_partial(float* scratch, size_t unit, int chunk) const {
    return partial_at(scratch,
                      kPartialsPerThread * static_cast<size_t>(n_threads_) + unit * n_chunks_ + chunk);
}

IntQueries Attention::int_queries_at(float* scratch, int thread, int index) const {
    const size_t n_before = (kPartialsPerThread * n_threads_ + units_.size() * n_chunks_) * partial_floats();
    float* base =
        scratch + n_before + (kMaxUnitsPerPass * static_cast<size_t>(thread) + index) * int_query_floats();
    return {reinterpret_cast<int16_t*>(base + std::max(kRowsPerUnit, group())), base};
}

Attention::Rows Attention::rows_of(const AttentionUnit& unit, const Slice& slice, const AttentionRule& rule,
                                   const Io& io) const {
    Rows rows;
    rows.softcap = rule.softcap;
    rows.has_sinks = rule.sinks != nullptr;
    for (int t = 0; t < unit.n_tokens; ++t) {
        const int token = unit.first_token + t;
        const float* q = io.q + static_cast<size_t>(slice.first_row + token) * io.q_stride;
        const int n_visible = slice.first_position + token + 1;
        for (int g = 0; g < group(); ++g) {
            rows.q[rows.n] = q + static_cast<size_t>(unit.head * group() + g) * sizes_.d_head;
            if (rows.has_sinks) rows.sinks[rows.n] = rule.sinks[unit.head * group() + g];
            rows.n_hidden[rows.n] = rule.window > 0 ? std::max(n_visible - rule.window, 0) : 0;
            rows.n_visible[rows.n++] = n_visible;
        }
    }
    return rows;
}

Attention::Rows Attention::quantized_rows_of(const Kernels& kernels, const AttentionUnit& unit,
                                             const Slice& slice, const AttentionRule& rule, const Io& io,
                                             const IntQueries& out) const {
    Rows rows = rows_of(unit, slice, rule, io);
    if (!slice.cache.layout->is_int()) return rows;
    rows.int_q = out;
    kernels.quantize_queries(rows.q, rows.n, sizes_.d_head, out);
    return rows;
}

void Attention::attend(const Kernels& kernels, const Slice& slice, int layer, const Rows& rows, int head,
                       int chunk, const Partial& out) const {
    const int begin = chunk * kChunk;
    const HeadPage page = slice.cache.head_page(layer, head, chunk);
    const AttendChunk job = {rows.q,
                             rows.int_q,
                             rows.n_visible,
                             rows.n_hidden,
                             rows.softcap,
                             rows.n,
                             sizes_.d_head,
                             padded(sizes_.d_head),
                             page.keys,
                             page.values,
                             page.key_scales,
                             page.value_scales,
                             begin,
                             std::min(begin + kChunk, rows.n_positions()),
                             out};
    attend_of(kernels, slice.cache.layout->type())(job);
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

void Attention::reset(const Rows& rows, const Partial& running) const {
    // Merging the first chunk into this returns it unchanged: its weight is e^0 = 1, the weight of this 0.
    std::fill_n(running.peak, rows.n, -3.0e38f);
    std::fill_n(running.total, rows.n, 0.0f);
    if (rows.has_sinks) {
        std::copy_n(rows.sinks, rows.n, running.peak);
        std::fill_n(running.total, rows.n, 1.0f);
    }
    std::fill_n(running.sum, static_cast<size_t>(rows.n) * padded(sizes_.d_head), 0.0f);
}

void Attention::merge_chunk(const Kernels& kernels, const Rows& rows, int chunk, const Partial& part,
                            const Partial& running) const {
    const Range seeing = rows.rows_seeing(chunk);
    const auto from = [&](const Partial& p) {
        return Partial{p.peak + seeing.begin, p.total + seeing.begin,
                       p.sum + static_cast<size_t>(seeing.begin) * padded(sizes_.d_head)};
    };
    kernels.merge(seeing.end - seeing.begin, from(running), from(part), padded(sizes_.d_head));
}

void Attention::run_pass(const Kernels& kernels, const std::vector<Slice>& slices, int layer,
                         const AttentionRule& rule, const Io& io, int thread, const Range& pass) const {
    const int n_units = pass.end - pass.begin;
    const Slice& slice = slices[units_[pass.begin].slice];
    const int head = units_[pass.begin].head;
    const Partial part = thread_partial(io.scratch, thread, kMaxUnitsPerPass);
    Rows rows[kMaxUnitsPerPass];
    for (int u = 0; u < n_units; ++u) {
        rows[u] = quantized_rows_of(kernels, units_[pass.begin + u], slice, rule, io,
                                    int_queries_at(io.scratch, thread, u));
        reset(rows[u], thread_partial(io.scratch, thread, u));
    }
    const int n_chunks = rows[n_units - 1].n_chunks();
    for (int chunk = rows[0].first_chunk(); chunk < n_chunks; ++chunk) {
        for (int u = 0; u < n_units; ++u) {
            if (!rows[u].overlaps(chunk)) continue;
            attend(kernels, slice, layer, rows[u], head, chunk, part);
            merge_chunk(kernels, rows[u], chunk, part, thread_partial(io.scratch, thread, u));
        }
    }
    for (int u = 0; u < n_units; ++u)
        write(kernels, units_[pass.begin + u], slice, thread_partial(io.scratch, thread, u), io);
}

void Attention::run(const Kernels& kernels, const std::vector<Slice>& slices, int layer,
                    const AttentionRule& rule, const Io& io, ThreadPool& pool, int thread) const {
    if (!is_split()) {
        pool.parallel_for(static_cast<int>(passes_.size()), thread, [&](int begin, int end) {
            for (int p = begin; p < end; ++p) run_pass(kernels, slices, layer, rule, io, thread, passes_[p]);
        });
        return;
    }
    Rows rows;
    int last = -1;
    for (int item = thread; item < static_cast<int>(units_.size()) * n_chunks_; item += n_threads_) {
        const int u = item / n_chunks_, chunk = item % n_chunks_;
        const Slice& slice = slices[units_[u].slice];
        if (u != last)
            rows =
                quantized_rows_of(kernels, units_[u], slice, rule, io, int_queries_at(io.scratch, thread, 0));
        last = u;
        if (rows.overlaps(chunk))
            attend(kernels, slice, layer, rows, units_[u].head, chunk, chunk_partial(io.scratch, u, chunk));
    }
}

void Attention::join(const Kernels& kernels, const std::vector<Slice>& slices, const AttentionRule& rule,
                     const Io& io, int thread) const {
    const Partial running = thread_partial(io.scratch, thread, 0);
    for (size_t u = static_cast<size_t>(thread); u < units_.size(); u += n_threads_) {
        const Slice& slice = slices[units_[u].slice];
        const Rows rows = rows_of(units_[u], slice, rule, io);
        reset(rows, running);
        for (int chunk = rows.first_chunk(); chunk < rows.n_chunks(); ++chunk)
            merge_chunk(kernels, rows, chunk, chunk_partial(io.scratch, u, chunk), running);
        write(kernels, units_[u], slice, running, io);
    }
}

}  // namespace zp
