// The forward pass of a decoder: blocks of grouped-query attention and a feed-forward network, with the
// norms, position encodings and activations that the LayerSpec of each block selects.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/adaptive_threads.hpp"
#include "base/memory.hpp"
#include "base/threads.hpp"
#include "kernels/kernels.hpp"
#include "model/batch.hpp"
#include "model/tap_recorder.hpp"
#include "model/weights.hpp"
#include "ops/attention.hpp"
#include "ops/matmul.hpp"

namespace zp {

class Forward {
public:
    // Allocates all the memory of a pass. `is_exact` keeps activations in float32 instead of int8.
    static Result<std::unique_ptr<Forward>> create(const ModelSpec& spec, const Weights& weights,
                                                   const Kernels& kernels, ThreadPool& pool, bool is_exact);

    // Runs the batch: writes keys and values to the caches of its slices, and `logits` [output_rows, V].
    // Calls `interrupt` between layers, on the calling thread; true stops the pass with kCancelled, which
    // leaves the new positions of the caches undefined. kNumeric if an activation is NaN or infinite.
    Status run(const Batch& batch, std::span<float> logits, const std::function<bool()>& interrupt);

    // Records taps of the next passes, which must have a single slice; null stops recording. Each recorded
    // tap costs two barriers.
    void set_tap_recorder(TapRecorder* recorder) { recorder_ = recorder; }

private:
    Forward(const ModelSpec& spec, const Weights& weights, const Kernels& kernels, ThreadPool& pool,
            bool is_exact)
        : spec_(spec),
          weights_(weights),
          kernels_(kernels),
          pool_(pool),
          adaptive_threads_(pool.max_threads()),
          is_exact_(is_exact) {}

    friend class RecurrencePass;
    // Up to this many rows, every thread normalizes and quantizes all rows for itself: cheaper than a
    // barrier.
    static constexpr int kPrivateRows = 2;
    static constexpr int kEmbedding = -1, kNoLayer = -2;  // values of nonfinite_layer_

    Status allocate();
    Status allocate_for_layers();  // angles of each rotation, and buffers of recurrences
    // Sets recurrence_strides_, each to the widest that a recurrence needs. Returns the widest of all.
    size_t collect_recurrence_widths();
    Status allocate_buffer(size_t n_bytes, void** target);
    // Finds the distinct sizes of attention, each of which divides its work in its own way.
    void collect_attention_sizes();
    void run_thread(int thread, const Batch& batch, float* logits, const std::function<bool()>& interrupt);
    void embed(int thread, const Batch& batch);
    // The angles of all rotations for row `t` of the batch.
    void compute_angles(size_t t, int position);

    // Attention (model/forward_attention.cpp).
    void attention_block(int thread, const Batch& batch, int layer);
    void project_heads(int thread, int layer, const Activations& x);
    void attend(int thread, const Batch& batch, int layer);
    // The rule of a layer with its weights.
    AttentionRule rule_of(int layer) const;
    // Normalizes all query heads of a token together, and all key heads.
    void normalize_jointly(int thread, int layer);
    void rotate_and_store(int thread, const Batch& batch, int layer);
    // Multiplies the context by sigmoid(gates_).
    void gate_context(int thread, const AttentionSpec& spec);
    // Normalizes (unless jointly) and rotates one head [K] of row `row`, whose token is at `position` of the
    // text.
    void prepare_head(const AttentionSpec& spec, const Norm& norm, size_t row, int position,
                      float* head) const;

    // A recurrence instead of attention (model/forward_recurrence.cpp).
    void recurrence_block(int thread, const Batch& batch, int layer);

    // Feed-forward (model/forward_ffn.cpp).
    // The matrices of one feed-forward network; `gate` is empty unless it is gated.
    struct FfnMatrices {
        const Linear &gate, &up, &down;
    };
    void ffn_block(int thread, const Batch& batch, int layer);
    // x + shift * (previous - x) for rows x of the norm, staged for `reader`; ends with a barrier.
    Activations shift_rows(int thread, const Batch& batch, int layer, const Activations& x,
                           const Matrix& reader);
    // Computes activation(up(x)) or activation(gate(x)) * up(x) for all rows, and quantizes it for `down`.
    void ffn_hidden(int thread, const FfnSpec& spec, const FfnMatrices& w, const Activations& x, int n_rows);
    // The same for row groups [begin, end): an even number of groups, except at the end.
    void ffn_groups(const FfnSpec& spec, const FfnMatrices& w, const Activations& x, int n_rows, int begin,
                    int end);
    // Of n columns of up(x) and, in `hidden`, of gate(x): writes the input of `down` to `hidden`. Changes
    // both.
    void combine(const FfnSpec& spec, bool is_gated, int n, float* up, float* hidden) const;
    // Final norm and LM head of the given rows of the residual stream: logits [rows, V].
    void head(int thread, std::span<const int> rows, float* logits);

    // Per-layer inputs and the factor of a block's output (model/forward_per_layer.cpp).
    // Computes per_layer_ from the tokens and the residual stream before the first block.
    void per_layer_inputs(int thread, const Batch& batch);
    // Computes what a block adds because of its input: projected_, before its norm.
    void add_per_layer(int thread, int layer);
    void finish_block(int thread, int layer);

    // Mixture of experts (model/mixture.cpp).
    void mixture_block(int thread, int layer);
    void route(int thread, const LayerSpec& layer, const Linear& router, const Activations& x);
    void run_expert(int thread, const FfnSpec& spec, const LayerWeights& w, size_t expert,
                    const Activations& x);

    // Records the first layer, or kEmbedding, that produced NaN or infinity.
    void record_nonfinite(int layer);

    // Taps (model/forward_taps.cpp). Marks a tap of block `layer` (-1: outside the blocks) whose rows each
    // thread has finished writing, or will have at its next barrier. Costs one comparison when nothing is
    // tapped.
    void tap(int thread, Tap tap, int layer, const float* rows, size_t stride) {
        if (has_taps_) at_tap(thread, tap, layer, {rows, nullptr, stride, nullptr});
    }
    // A tap whose rows interventions may modify. `reader`: the matrix that reads their int8 form, already in
    // ff_blocks_, which must be recomputed after a modification.
    void tap_mutable(int thread, Tap tap, int layer, float* rows, size_t stride,
                     const Matrix* reader = nullptr) {
        if (has_taps_) at_tap(thread, tap, layer, {rows, rows, stride, reader});
    }
    struct TapRows {
        const float* rows;
        float* mutable_rows;  // the same rows; null if the tap cannot be modified
        size_t stride;
        const Matrix* reader;
    };
    // Finds which taps this pass records or modifies.
    void prepare_taps(const Batch& batch);
    void at_tap(int thread, Tap tap, int layer, const TapRows& rows);
    void record_attention(int thread, const Batch& batch, int layer);
    void record_lens(int thread, int layer);

    // Normalizes one row of `width` columns. False if it has NaN or infinity.
    bool normalize(const NormSpec& spec, const Norm& norm, int width, const float* x, float* y) const;
    // Normalizes all rows of the residual stream, in float and, if any reader needs it, in int8. Returns the
    // rows that this thread may read. `writer`: the layer that last wrote the residual stream, or kEmbedding.
    Activations stage_norm(int thread, const NormSpec& spec, const Norm& norm, int writer,
                           std::span<const Linear* const> readers);
    Activations stage_rows(int thread, const float* rows, size_t stride, int n_cols, const Matrix& reader);
    // Multiplies into projected_ and adds that to the residual stream. In sandwich placement, applies `norm`
    // in between, after a barrier.
    void add_to_residual(int thread, int layer, const Linear& weight, const Activations& x, const Norm& norm);

    const ModelSpec& spec_;
    const Weights& weights_;
    const Kernels& kernels_;
    ThreadPool& pool_;
    AdaptiveThreads adaptive_threads_;
    const bool is_exact_;

    int n_tokens_ = 0;
    TapRecorder* recorder_ = nullptr;
    bool has_taps_ = false;                // this pass has a recorder or interventions
    const Batch* tapped_batch_ = nullptr;  // the batch of this pass, if it has taps
    TapSet active_taps_;                   // taps that are recorded or modified
    std::vector<int> lens_rows_;
    std::vector<float> lens_logits_;
    std::vector<AttentionSizes> attention_sizes_;  // distinct ones
    std::vector<Attention> attention_;             // one per item of attention_sizes_
    std::vector<size_t> attention_at_;             // of each layer, the index into these
    std::atomic<int> nonfinite_layer_{kNoLayer};
    std::atomic<bool> is_cancelled_{false};

    std::vector<Buffer> buffers_;
    // Row lengths of the buffers below, for the widest layer.
    size_t model_stride_ = 0, query_stride_ = 0, kv_stride_ = 0, ff_stride_ = 0;
    float* x_ = nullptr;               // [T, D] the residual stream
    float* projected_ = nullptr;       // [T, D] what a sublayer adds to it
    float* normed_ = nullptr;          // [T, D]
    float* q_ = nullptr;               // [T, H*K]
    float* k_ = nullptr;               // [T, N*K]
    float* v_ = nullptr;               // [T, N*K]
    float* gates_ = nullptr;           // [T, H*K] of the context
    float* context_ = nullptr;         // [T, H*K] softmax-weighted values, before the output projection
    float* gate_ = nullptr;            // [T, F]
    float* up_ = nullptr;              // [T, F]
    QuantBlock* blocks_ = nullptr;     // [T, max width / 32, 2], shared by all threads
    QuantBlock* ff_blocks_ = nullptr;  // [T, F / 32]
    float* private_floats_ = nullptr;  // [threads, kPrivateRows, D], for short passes
    QuantBlock* private_blocks_ = nullptr;
    size_t private_float_stride_ = 0, private_block_stride_ = 0;
    std::vector<float> attention_scratch_;
    struct Angles {
        float *cosines, *sines;  // [T, pairs]
    };
    std::vector<Angles> angles_;  // one per rotation
    std::vector<float> ones_;     // [K] the gain of norms that have none

    size_t per_layer_stride_ = 0;
    float* per_layer_ = nullptr;        // [T, L*P]
    float* per_layer_table_ = nullptr;  // [threads, L*P]

    // Shared by the recurrences: [T, stride] each.
    std::vector<float*> recurrence_buffers_;
    std::vector<size_t> recurrence_strides_;
    float* shared_ = nullptr;  // [T, shared_stride_] what a recurrence leaves for later layers
    size_t shared_stride_ = 0;

    // Mixture of experts: the experts of each token with their weights, and the tokens of each expert.
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
    float* expert_floats_ = nullptr;           // [T, D] input rows of one expert
    QuantBlock* expert_blocks_ = nullptr;      // [T, D / 32, 2]
};

}  // namespace zp
