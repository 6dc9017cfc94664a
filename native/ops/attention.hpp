// Causal attention of a batch of tokens over the KV caches of their sequences.
#pragma once

#include <cstddef>
#include <vector>

#include "base/threads.hpp"
#include "kernels/kernels.hpp"
#include "ops/cache_view.hpp"

namespace zp {

// Consecutive rows of a batch that continue one sequence.
struct Slice {
    CacheView cache;
    int first_row;       // in the batch
    int n_tokens;        // T
    int first_position;  // of the first row, in the cache
    int n_dropped = 0;   // positions evicted from the cache
};

// Maximum number of query heads per key/value head; model/spec.cpp rejects more.
inline constexpr int kMaxQueriesPerKvHead = 128;

struct AttentionSizes {
    int n_heads, n_kv_heads, d_head;
    bool operator==(const AttentionSizes&) const = default;
};

// Settings that may differ between layers.
struct AttentionRule {
    int window = 0;        // sliding window in positions, including the token's own; 0: unlimited
    float softcap = 0.0f;  // soft cap of the scores; 0: none
    // [H] A logit per query head that takes part in the softmax, with a value of zero; null: none.
    const float* sinks = nullptr;
};

// A unit of work: the query rows of some tokens that read one key/value head.
struct AttentionUnit {
    int slice, head;            // index of the slice; key/value head
    int first_token, n_tokens;  // relative to the slice
};

class Attention {
public:
    // Divides a batch into units. If there are few units and long caches, splits along the positions as well.
    void plan(const std::vector<Slice>& slices, const AttentionSizes& sizes, int n_threads);
    // Size of the scratch buffer for run(), in floats.
    size_t scratch_floats() const;
    // Whether join() must follow run().
    bool is_split() const { return n_chunks_ > 0; }

    // q: [rows, q_stride] with heads concatenated, already rotated and scaled; y: [rows, y_stride].
    struct Io {
        const float* q;
        size_t q_stride;
        float* y;
        size_t y_stride;
        float* scratch;
    };
    void run(const Kernels& kernels, const std::vector<Slice>& slices, int layer, const AttentionRule& rule,
             const Io& io, ThreadPool& pool, int thread) const;
    // Merges the partial results of all threads in order of position. Call it after a barrier.
    void join(const Kernels& kernels, const std::vector<Slice>& slices, const AttentionRule& rule,
              const Io& io, int thread) const;

private:
    // The query rows of a unit with their masks.
    struct Rows;
    int group() const { return sizes_.n_heads / sizes_.n_kv_heads; }
    int tokens_per_unit() const;
    size_t partial_floats() const;
    size_t int_query_floats() const;
    Partial partial_at(float* scratch, size_t index) const;
    Partial thread_partial(float* scratch, int thread, int index) const;
    Partial chunk_partial(float* scratch, size_t unit, int chunk) const;
    IntQueries int_queries_at(float* scratch, int thread, int index) const;
    Rows rows_of(const AttentionUnit& unit, const Slice& slice, const AttentionRule& rule,
                 const Io& io) const;
    // Also quantizes the queries, into `out`, if the cache holds integers.
    Rows quantized_rows_of(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice,
                           const AttentionRule& rule, const Io& io, const IntQueries& out) const;
    void attend(const Kernels& kernels, const Slice& slice, int layer, const Rows& rows, int head, int chunk,
                const Partial& out) const;
    // Resets a running result, and merges the partial result of a chunk into it. Chunks must come in order.
    void reset(const Rows& rows, const Partial& running) const;
    void merge_chunk(const Kernels& kernels, const Rows& rows, int chunk, const Partial& part,
                     const Partial& running) const;
    void run_pass(const Kernels& kernels, const std::vector<Slice>& slices, int layer,
                  const AttentionRule& rule, const Io& io, int thread, const Range& pass) const;
    void write(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice, const Partial& result,
               const Io& io) const;

    AttentionSizes sizes_{};
    int n_threads_ = 1;
    int n_chunks_ = 0;  // partial results per unit if units are split, else 0
    std::vector<AttentionUnit> units_;
    std::vector<Range> passes_;  // ranges of units of one slice and head, in token order
};

}  // namespace zp
