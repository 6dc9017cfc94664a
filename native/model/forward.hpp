// One pass of a batch of tokens through a decoder: blocks of grouped-query attention and a feed-forward, with
// the norms, positions and activations that ModelSpec names.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/adaptive_threads.hpp"
#include "base/memory.hpp"
#include "base/threads.hpp"
#include "kernels/kernels.hpp"
#include "model/interventions.hpp"
#include "model/tap_recorder.hpp"
#include "model/weights.hpp"
#include "ops/attention.hpp"
#include "ops/matmul.hpp"

namespace zp {

// Rows of a batch; `slices` divide them among sequences, in order.
struct Batch {
    std::vector<int32_t> tokens;  // [T]
    std::vector<Slice> slices;
    std::vector<int> output_rows;     // rows whose logits are wanted, ascending
    std::vector<const Edits*> edits;  // how the pass is changed for each slice (null: not), or empty
};

class Forward {
public:
    static constexpr int kMaxTokens = 256;  // rows of a batch, and rows of logits

    // All memory that a pass needs is taken here; `is_exact` keeps activations in float.
    static Result<std::unique_ptr<Forward>> create(const ModelSpec& spec, const Weights& weights,
                                                   const Kernels& kernels, ThreadPool& pool, bool is_exact);

    // Runs the batch: fills the caches of its slices and `logits` [output_rows, V].
    // `interrupt` is asked between layers, on the calling thread; true ends the pass with kCancelled, and the
    // new positions of the caches then hold nothing of value.
    Status run(const Batch& batch, std::span<float> logits, const std::function<bool()>& interrupt);

    // Where the next passes leave what they see of the one text that they read, or null. At every point that
    // is wanted the threads meet.
    void set_probe(Probe* probe) { probe_ = probe; }

private:
    Forward(const ModelSpec& spec, const Weights& weights, const Kernels& kernels, ThreadPool& pool,
            bool is_exact)
        : spec_(spec),
          weights_(weights),
          kernels_(kernels),
          pool_(pool),
          adaptive_threads_(pool.max_threads()),
          is_exact_(is_exact) {}

    static constexpr int kEmbedding = -1, kNoLayer = -2;

    Status allocate();
    void run_thread(int thread, const Batch& batch, float* logits, const std::function<bool()>& interrupt);
    void embed(int thread, const Batch& batch);
    void attention_block(int thread, const Batch& batch, int layer);
    void attend(int thread, const Batch& batch, int layer);
    void rotate_and_store(int thread, const Batch& batch, int layer);
    void ffn_block(int thread, int layer);
    // All rows of activation(up(x)) or activation(gate(x)) * up(x), and their int8 form for `down`.
    void ffn_hidden(int thread, const Linear& gate, const Linear& up, const Linear& down,
                    const Activations& x, int n_rows);
    // Groups [begin, end) of it: an even number, but at the end.
    void ffn_groups(const Linear& gate, const Linear& up, const Linear& down, const Activations& x,
                    int n_rows, int begin, int end);
    // Logits of those rows of the residual stream, into [rows, V].
    void head(int thread, std::span<const int> rows, float* logits);

    // A mixture of experts (model/mixture.cpp).
    void mixture_block(int thread, int layer);
    void route(int thread, const Linear& router, const Activations& x);
    void run_expert(int thread, const LayerWeights& w, size_t expert, const Activations& x);

    // Remembers the first layer, or kEmbedding, that gave a number that is not finite.
    void blame(int layer);

    // A point of block `layer`, or of no block (-1), where every thread has written its part of `rows` or is
    // about to have: shown to who looks.
    void show(int thread, Point point, int layer, const float* rows, size_t stride) {
        if (is_watched_) visit(thread, point, layer, {rows, nullptr, stride, nullptr});
    }
    // The same where rows may be changed too. `reader`: what reads their int8 form, which has been made
    // already and stands in ff_blocks_.
    void expose(int thread, Point point, int layer, float* rows, size_t stride,
                const Matrix* reader = nullptr) {
        if (is_watched_) visit(thread, point, layer, {rows, rows, stride, reader});
    }
    struct PointRows {
        const float* shown;
        float* changed;  // the same, or null where they are only shown
        size_t stride;
        const Matrix* reader;
    };
    // What is done where somebody looks or changes something (model/forward_taps.cpp).
    void watch(const Batch& batch);
    void visit(int thread, Point point, int layer, const PointRows& rows);
    void weigh(int thread, const Batch& batch, int layer);
    void show_lens(int thread, int layer);

    bool normalize(const Norm& norm, const float* x, float* y) const;
    // The normed residual of all rows in the form that `readers` want; what this thread may read afterwards.
    // `writer` is the layer that wrote the residual last, or kEmbedding.
    Activations stage_norm(int thread, const Norm& norm, int writer,
                           std::initializer_list<const Linear*> readers);
    Activations stage_rows(int thread, const float* rows, size_t stride, int n_cols, const Matrix& reader);
    // A product, into projected_ and added to the residual stream; in a sandwich after `norm`, once every
    // thread is here.
    void add_to_residual(int thread, const Linear& weight, const Activations& x, const Norm& norm);

    const ModelSpec& spec_;
    const Weights& weights_;
    const Kernels& kernels_;
    ThreadPool& pool_;
    AdaptiveThreads adaptive_threads_;
    const bool is_exact_;

    int n_tokens_ = 0;
    Probe* probe_ = nullptr;
    bool is_watched_ = false;         // in this pass, by a probe or by edits
    const Batch* watched_ = nullptr;  // the batch of this pass
    PointSet visited_;                // where it is looked at or changed
    std::vector<int> lens_rows_;
    std::vector<float> lens_logits_;
    Attention attention_;
    std::atomic<int> bad_layer_{kNoLayer};
    std::atomic<bool> is_cancelled_{false};

    std::vector<Buffer> buffers_;
    size_t model_stride_ = 0, query_stride_ = 0, kv_stride_ = 0, ff_stride_ = 0;
    float* x_ = nullptr;               // [T, D] the residual stream
    float* projected_ = nullptr;       // [T, D] what a block adds to it
    float* normed_ = nullptr;          // [T, D]
    float* q_ = nullptr;               // [T, H*K]
    float* k_ = nullptr;               // [T, N*K]
    float* v_ = nullptr;               // [T, N*K]
    float* mixed_ = nullptr;           // [T, H*K] attention's output
    float* gate_ = nullptr;            // [T, F]
    float* up_ = nullptr;              // [T, F]
    float* cosines_ = nullptr;         // [T, pairs]
    float* sines_ = nullptr;           // [T, pairs]
    QuantBlock* blocks_ = nullptr;     // [T, widest / 32, 2] shared by all threads
    QuantBlock* ff_blocks_ = nullptr;  // [T, F / 32]
    float* private_floats_ = nullptr;  // [threads, private rows, D] for small batches
    QuantBlock* private_blocks_ = nullptr;
    size_t private_float_stride_ = 0, private_block_stride_ = 0;
    std::vector<float> attention_scratch_;

    // Of a mixture: which experts a token goes to and with what weight, and the tokens of each expert.
    struct Choice {
        int expert;
        float weight;
    };
    struct Routed {
        int token;
        float weight;
    };
    std::vector<Choice> choices_;              // [T, A]
    std::vector<std::vector<Routed>> routed_;  // [E]
    float* router_logits_ = nullptr;           // [T, E rounded up to 16]
    float* expert_floats_ = nullptr;           // [T, D] the rows of one expert
    QuantBlock* expert_blocks_ = nullptr;      // [T, D / 32, 2]
};

}  // namespace zp
