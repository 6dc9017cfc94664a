// The native engine: a loaded model, its KV cache and the requests it is serving. Each step() advances every
// scheduled request by one chunk of its prompt or by one token. Engine owns the weights, the forward pass and
// the sampling of tokens; Scheduler (runtime/scheduler.hpp) decides what each step computes.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/forward.hpp"
#include "runtime/kv_cache/sequence.hpp"
#include "runtime/request.hpp"
#include "runtime/scheduler.hpp"

namespace zp {

struct EngineConfig {
    std::vector<std::string> paths;  // the GGUF file, or its shards in order
    ModelSpec spec;
    TensorMap tensor_names;  // our tensor names -> the file's
    int n_threads = 1;
    std::string isa;        // instruction set; "" selects the fastest
    bool is_exact = false;  // float32 activations and cache instead of int8 and `cache_type`
    CacheType cache_type = CacheType::kInt16;
    CacheLimits cache_limits = {};
    CacheWindow window = {};
    std::shared_ptr<const LoadGate> load_gate = nullptr;  // delays the last weights (model/weights.hpp)
};

// Polled between layers of a forward pass; true stops the pass with kCancelled.
using Interrupt = std::function<bool()>;

class Engine {
public:
    static Result<std::unique_ptr<Engine>> open(EngineConfig config);

    // Queues a request and returns its id. kContextFull if the prompt leaves no room for a token, kMemory if
    // the cache can never hold it.
    Result<int64_t> submit(GenerateRequest request);
    // Guesses and masks for the request's next tokens. Guesses beyond the request's limits are dropped.
    // Ignores an unknown id.
    Status steer(int64_t request, Steering steering);
    // Frees the request's cache pages at once; the next step() reports its end. Ignores an unknown id.
    void cancel(int64_t request);
    // Runs one forward pass over the scheduled requests and samples their tokens, several where guesses prove
    // right. An interrupted step can be
    // repeated. Any other error removes the requests it concerns.
    Result<std::vector<StepEvent>> step(const Interrupt& interrupt);
    bool has_work() const { return !scheduler_.is_empty() || !pending_events_.empty(); }
    const Scheduler& scheduler() const { return scheduler_; }

    // Natural log-probability of each of ids[1:] given its predecessors, to out [T - 1]; T may be 1.
    Status score(std::span<const int32_t> ids, std::span<float> out, const Interrupt& interrupt);

    // Runs `ids` from an empty cache and records what `recorder` requests.
    Status trace(std::span<const int32_t> ids, TapRecorder& recorder,
                 std::shared_ptr<const Interventions> interventions, const Interrupt& interrupt);

    // Opens an empty sequence that the caller decodes step by step (the Stepper of the Python contract).
    Result<Sequence*> open_sequence(std::shared_ptr<const Interventions> interventions = nullptr);
    // Appends ids; writes the logits after each of them to out [T, V].
    Status extend(Sequence* sequence, std::span<const int32_t> ids, std::span<float> out,
                  const Interrupt& interrupt);
    // Appends ids and computes their keys and values, without logits.
    Status read(Sequence* sequence, std::span<const int32_t> ids, const Interrupt& interrupt);
    // Removes the last n tokens.
    Status rollback(Sequence* sequence, int n);
    void close_sequence(Sequence* sequence) { sequences_.release(sequence); }

    // KV snapshots (runtime/kv_cache/snapshot.cpp). Opens a sequence of the longest prefix of `ids` in the
    // cache.
    Result<Sequence*> open_cached(std::span<const int32_t> ids);
    // The parts of the snapshot of a text. kInvalid if the cache cannot hold such a text.
    Result<std::vector<SnapshotBlock>> snapshot_blocks(int64_t n_tokens, int n_dropped) const;
    // One part as it was computed, before its window shifted any keys.
    Result<BlockRef> snapshot(const Sequence& sequence, const SnapshotBlock& block) {
        return sequences_.snapshot(sequence, block);
    }
    // Restores the snapshot of `ids` as an idle prefix. `next_block(into)` fills the bytes of one part.
    using NextBlock = std::function<Status(std::span<uint8_t> into)>;
    Status restore(std::span<const int32_t> ids, int n_dropped, const NextBlock& next_block);
    // Hash of everything that determines keys and values: weights, spec and precision.
    uint64_t fingerprint() const;

    const ModelSpec& spec() const { return config_.spec; }
    // Tokens a sequence may have: the context, or no limit with a window.
    int max_tokens() const { return config_.window.is_on() ? INT32_MAX : config_.spec.n_ctx; }
    const char* isa() const { return kernels_->isa; }
    int n_threads() const { return pool_->max_threads(); }
    bool is_exact() const { return config_.is_exact; }
    size_t weight_bytes() const { return weights_->n_bytes; }
    // Cache memory of one full context, or of one full window.
    size_t cache_bytes() const { return sequences_.sequence_bytes(max_positions()); }
    // Cache memory in use, idle prefixes included.
    size_t used_cache_bytes() const { return sequences_.used_bytes(); }

private:
    static constexpr int kLogitRows = 32;  // rows per pass where every row needs logits: bounds their memory

    explicit Engine(EngineConfig config)
        : config_(std::move(config)),
          sequences_(config_.spec, layout_of(config_), config_.cache_limits, config_.window),
          scheduler_(sequences_, Batch::kMaxTokens) {}
    static CacheLayout layout_of(const EngineConfig& config);
    Status load();
    Status check_alive() const;
    Status check_ids(std::span<const int32_t> ids) const;
    Status check_snapshot(int64_t n_tokens, int n_dropped) const;
    // Positions the cache holds of one sequence: the window if there is one, else the context.
    int max_positions() const {
        return config_.window.is_on() ? config_.window.n_positions : config_.spec.n_ctx;
    }
    // Computes, without logits, those of the first n_tokens that a rollback left to compute again.
    Status read_before(Sequence* sequence, size_t n_tokens, const Interrupt& interrupt);
    // Buffer for n rows of logits, [n, V rounded up to 16].
    std::span<float> logits(int n_rows);
    // Samples the request's tokens, appends their events, and commits the pass. False if no token can be
    // sampled.
    bool finish_step(ActiveRequest& request, std::vector<StepEvent>& events);
    // Samples a token from row `row` of the request's logits; -1 if it cannot. Sets the event's token,
    // log-probabilities and end.
    int32_t sample(ActiveRequest& request, int row, StepEvent& event);
    static StepEvent event_of(const ActiveRequest& request);
    // Computes up to n of a sequence's next tokens, with logits for all of them or for none. Returns how many
    // it computed.
    Result<int> read_chunk(Sequence* sequence, int n, bool wants_logits, const Interrupt& interrupt);

    EngineConfig config_;
    const Kernels* kernels_ = nullptr;
    std::unique_ptr<ThreadPool> pool_;
    std::unique_ptr<Weights> weights_;
    std::unique_ptr<Forward> forward_;
    SequencePool sequences_;
    Scheduler scheduler_;
    std::vector<StepEvent> pending_events_;  // for the next step: of cancelled requests, or of a failed step
    std::vector<float> logits_;
};

}  // namespace zp
