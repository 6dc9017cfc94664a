// Continuous batching: each step, the scheduler decides which tokens of which requests the forward pass
// computes (iteration-level scheduling: Yu et al., "Orca: a distributed serving system for Transformer-based
// generative models", 2022). When the cache is full, the youngest request gives up its pages and recomputes
// them later (Kwon et al., "Efficient memory management for large language model serving", 2023, section
// 4.5). The scheduler needs no model: Engine runs the batches and samples the tokens.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "model/batch.hpp"
#include "runtime/kv_cache/sequence.hpp"
#include "runtime/request.hpp"

namespace zp {

enum class RequestState {
    kWaiting,    // submitted; no step has computed any of its tokens
    kRunning,    // at least one step has computed some of its tokens
    kPreempted,  // an older request took its cache pages; it resumes when they fit again
};

// A request from submit() to remove(), with its sequence in the cache.
struct ActiveRequest {
    int64_t id;
    GenerateRequest request;
    Sequence* sequence;
    RequestState state = RequestState::kWaiting;
    int n_prompt = 0;     // prompt tokens
    int n_cached = 0;     // prompt tokens taken from the cache at submission
    int n_read = 0;       // prompt tokens computed so far, cached ones included
    int n_generated = 0;  // tokens sampled so far
    int n_scheduled = 0;  // tokens in the current batch, drafted ones included
    int n_drafted = 0;    // the last of these, which are guesses
    int logits_row = -1;  // first row of its logits in the current batch; -1: none
    Steering steering;    // for the next token that it samples

    // Tokens that are not in the cache yet: the rest of the prompt, or the tokens sampled last.
    int n_uncomputed() const { return static_cast<int>(sequence->tokens.size()) - sequence->n_cached; }
};

class Scheduler {
public:
    // `sequences` holds the cache and must outlive the scheduler. A batch has at most `max_batch_tokens`
    // rows.
    Scheduler(SequencePool& sequences, int max_batch_tokens)
        : sequences_(sequences), max_batch_tokens_(max_batch_tokens) {}

    // Queues a request and returns its id: 1, 2, ..., so that the smaller of two ids is the older request.
    // Takes the pages of a cached prefix at once.
    int64_t submit(GenerateRequest request);
    // The request with that id, or null. The pointer is valid until the request is removed.
    const ActiveRequest* find(int64_t id) const;
    // Sets the steering of a request. Ignores an unknown id.
    void steer(int64_t id, Steering steering);
    // Removes a request and releases its pages. Ignores an unknown id.
    void remove(int64_t id);
    void remove_all();

    // Forms the batch of the next step. Decoding requests (one token each) come first, so that a long prompt
    // delays them by one chunk at most; prompts fill the remaining rows, oldest first. Preempts the youngest
    // request when pages run out. Empty if there is no request, or if the cache cannot hold one more token
    // even of the oldest: then reject_oldest() must follow.
    Batch schedule();
    // The requests of the current batch, oldest first.
    std::vector<ActiveRequest*> scheduled();
    // The forward pass has computed the request's tokens of the current batch, of which all but the first
    // n_accepted guesses are to be forgotten.
    void commit(ActiveRequest& request, int n_accepted);
    // Removes the oldest request, which does not fit in the cache, and returns the error to report.
    Error reject_oldest();

    bool is_empty() const { return requests_.empty(); }
    int n_waiting() const { return count(RequestState::kWaiting); }
    int n_running() const { return count(RequestState::kRunning); }
    int n_preempted() const { return count(RequestState::kPreempted); }

private:
    // Rows with logits in a batch with guesses: bounds their memory.
    static constexpr size_t kMaxLogitRows = 64;

    int count(RequestState state) const;
    // How many of a request's guesses the batch has room for.
    int n_guesses(const Batch& batch, const ActiveRequest& request) const;
    // Makes up to n positions of a request writable, preempting younger requests if it must. Returns how
    // many.
    int reserve(ActiveRequest& request, int n);
    bool can_resume(const ActiveRequest& request) const;
    void add_to_batch(Batch& batch, ActiveRequest& request, int n) const;

    SequencePool& sequences_;
    int max_batch_tokens_;
    std::map<int64_t, ActiveRequest> requests_;  // by id: oldest first
    int64_t next_id_ = 1;
};

}  // namespace zp
