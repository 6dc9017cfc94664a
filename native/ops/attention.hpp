// Causal attention of a batch of tokens over the caches of their sequences.
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
    int n_dropped = 0;   // positions of the text that are no longer in the cache
};

// Query heads that may share a key/value head; model/spec.cpp refuses more.
inline constexpr int kMaxQueriesPerKvHead = 128;

struct AttentionSizes {
    int n_heads, n_kv_heads, d_head;
};

// What may differ from layer to layer.
struct AttentionRule {
    int window = 0;        // positions a token sees, itself included; 0: all before it
    float softcap = 0.0f;  // of scores; 0 for none
};

// One piece of work: the query rows of some tokens that read one key/value head.
struct AttentionUnit {
    int slice, head;            // index of the slice; key/value head
    int first_token, n_tokens;  // in the slice
};

class Attention {
public:
    // Divides the work of a batch. Few units over long caches are cut along the positions as well.
    void plan(const std::vector<Slice>& slices, const AttentionSizes& sizes, int n_threads);
    // Floats of scratch that run() needs.
    size_t scratch_floats() const;
    // True where join() must follow run().
    bool is_split() const { return n_chunks_ > 0; }

    // q: [rows, q_stride] with heads side by side, already rotated and scaled; y: [rows, y_stride].
    struct Io {
        const float* q;
        size_t q_stride;
        float* y;
        size_t y_stride;
        float* scratch;
    };
    void run(const Kernels& kernels, const std::vector<Slice>& slices, int layer, const AttentionRule& rule,
             const Io& io, ThreadPool& pool, int thread) const;
    // Joins the partial results of all threads in the order of the positions, after a barrier.
    void join(const Kernels& kernels, const std::vector<Slice>& slices, const AttentionRule& rule,
              const Io& io, int thread) const;

private:
    // The rows of a unit with what the kernels need to know of each.
    struct Rows;
    int group() const { return sizes_.n_heads / sizes_.n_kv_heads; }
    int tokens_per_unit() const;
    size_t partial_floats() const;
    size_t int_query_floats() const;
    Partial partial_at(float* scratch, size_t index) const;
    Partial own_at(float* scratch, int thread, int index) const;
    Partial stored_at(float* scratch, size_t unit, int chunk) const;
    IntQueries int_queries_at(float* scratch, int thread, int index) const;
    Rows rows_of(const AttentionUnit& unit, const Slice& slice, const AttentionRule& rule,
                 const Io& io) const;
    // Where the cache holds whole numbers, with the queries as such too, in `place`.
    Rows rounded_rows_of(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice,
                         const AttentionRule& rule, const Io& io, const IntQueries& place) const;
    void attend(const Kernels& kernels, const Slice& slice, int layer, const Rows& rows, int head, int chunk,
                const Partial& out) const;
    // A result that has seen nothing yet, and what one more chunk adds to it. Chunks come in their order.
    void start(const Rows& rows, const Partial& running) const;
    void add(const Kernels& kernels, const Rows& rows, int chunk, const Partial& part,
             const Partial& running) const;
    void run_pass(const Kernels& kernels, const std::vector<Slice>& slices, int layer,
                  const AttentionRule& rule, const Io& io, int thread, const Range& pass) const;
    void write(const Kernels& kernels, const AttentionUnit& unit, const Slice& slice, const Partial& result,
               const Io& io) const;

    AttentionSizes sizes_{};
    int n_threads_ = 1;
    int n_chunks_ = 0;  // partial results a unit has where units are split, else 0
    std::vector<AttentionUnit> units_;
    std::vector<Range> passes_;  // units of one slice and head, in the order of their tokens
};

}  // namespace zp
