// A loaded model and everything that is being generated with it: requests come in, each step advances all
// of them by one chunk of prompt or one token, and says what happened.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "model/forward.hpp"
#include "runtime/sampling/sampler.hpp"
#include "runtime/sequence.hpp"

namespace zp {

struct EngineConfig {
    std::vector<std::string> paths;  // the GGUF file, or its shards in order
    ModelSpec spec;
    TensorMap tensor_names;  // ours -> the file's
    int n_threads = 1;
    std::string isa;        // "" picks the fastest
    bool is_exact = false;  // float activations and cache, instead of int8 and `cache_type`
    CacheType cache_type = CacheType::kInt16;
    CacheLimits cache_limits = {};
    CacheWindow window = {};
    std::shared_ptr<const LoadGate> load_gate = nullptr;  // while weights are read (model/weights.hpp)
};

struct GenerateRequest {
    std::vector<int32_t> prompt;
    Sampler sampler;
    std::unordered_set<int32_t> stop_ids;
    int max_tokens = 0;  // 0: until a stop token or the end of the context
    bool wants_logprob = false;
    std::shared_ptr<const Edits> edits = nullptr;  // how its passes are changed, or null
};

enum class Finish { kNone, kStop, kLength, kCancelled };

struct StepEvent {
    int64_t request = 0;
    std::optional<int32_t> token;
    std::optional<float> logprob;
    Finish finish = Finish::kNone;
    int n_prompt = 0, n_cached = 0, n_read = 0;
};

using Interrupt = std::function<bool()>;

class Engine {
public:
    static Result<std::unique_ptr<Engine>> open(EngineConfig config);

    Result<int64_t> submit(GenerateRequest request);
    // Frees the request's cache at once; the next step tells of its end.
    void cancel(int64_t request);
    Result<std::vector<StepEvent>> step(const Interrupt& interrupt);
    bool has_work() const { return !running_.empty() || !untold_.empty(); }

    // Natural-log probability of ids[1:], into out [T - 1]; T may be 1.
    Status score(std::span<const int32_t> ids, std::span<float> out, const Interrupt& interrupt);

    // What the probe wants to see while its text `ids` is read from an empty cache.
    Status trace(std::span<const int32_t> ids, Probe& probe, std::shared_ptr<const Edits> edits,
                 const Interrupt& interrupt);

    // A sequence under the caller's control (the Stepper of the Python contract).
    Result<Sequence*> open_sequence(std::shared_ptr<const Edits> edits = nullptr);
    // Appends ids; logits after each go to out [T, V].
    Status extend(Sequence* sequence, std::span<const int32_t> ids, std::span<float> out,
                  const Interrupt& interrupt);
    Status rollback(Sequence* sequence, int n);
    void close_sequence(Sequence* sequence) { sequences_.release(sequence); }

    // A sequence with as much of `ids` in its cache as any other has, to be saved.
    Result<Sequence*> open_cached(std::span<const int32_t> ids);
    // A page of it, as computed; and as many of them as it holds.
    Result<PageRef> saved_page(const Sequence& sequence, int page) {
        return sequences_.page_to_save(sequence, page);
    }
    // Puts saved pages of `ids` back, for whoever continues them. `next_page(into)` fills one page's bytes.
    using NextPage = std::function<Status(std::span<uint8_t> into)>;
    Status restore(std::span<const int32_t> ids, int n_dropped, const NextPage& next_page);
    // Tells models apart: of everything that keys and values are computed with.
    uint64_t fingerprint() const;
    size_t page_bytes() const { return sequences_.page_bytes(); }

    const ModelSpec& spec() const { return config_.spec; }
    // Tokens a sequence may have.
    int most_tokens() const { return config_.window.is_on() ? INT32_MAX : config_.spec.n_ctx; }
    const char* isa() const { return kernels_->isa; }
    int n_threads() const { return pool_->max_threads(); }
    bool is_exact() const { return config_.is_exact; }
    size_t weight_bytes() const { return weights_->n_bytes; }
    // Of a full context, and of what is held now.
    size_t cache_bytes() const {
        return static_cast<size_t>(pages_for(config_.spec.n_ctx)) * sequences_.page_bytes();
    }
    size_t used_cache_bytes() const { return sequences_.used_bytes(); }

private:
    struct Running {
        GenerateRequest request;
        Sequence* sequence;
        int n_prompt, n_reused, n_read, n_generated = 0;
        bool is_suspended = false;  // its pages went to an older request; it goes on when there is room
        int n_planned = 0;          // tokens of the present step
        int logits_row = -1;        // in the present step
    };
    static constexpr int kLogitRows = 32;  // rows of logits computed together when every row is wanted

    explicit Engine(EngineConfig config)
        : config_(std::move(config)),
          sequences_(config_.spec, layout_of(config_), config_.cache_limits, config_.window) {}
    static PageLayout layout_of(const EngineConfig& config);
    Status load();
    Status check_alive() const;
    Status check_ids(std::span<const int32_t> ids) const;
    std::span<float> logits(int n_rows);
    Batch plan_step();
    int make_room(int64_t id, Running& running, int n);
    bool may_resume(int64_t id, const Running& running) const;
    Error refuse_oldest();
    StepEvent finish_step(int64_t id, Running& running);
    StepEvent event_of(int64_t id, const Running& running) const;
    // Reads up to n of a sequence's next tokens into its cache, with the logits of each or of none; how many
    // it were.
    Result<int> read_chunk(Sequence* sequence, int n, bool wants_logits, const Interrupt& interrupt);

    EngineConfig config_;
    const Kernels* kernels_ = nullptr;
    std::unique_ptr<ThreadPool> pool_;
    std::unique_ptr<Weights> weights_;
    std::unique_ptr<Forward> forward_;
    SequencePool sequences_;
    std::map<int64_t, Running> running_;
    std::vector<StepEvent> untold_;  // of requests cancelled since, or of a step that failed for another one
    int64_t next_request_ = 1;
    std::vector<float> logits_;
};

}  // namespace zp
