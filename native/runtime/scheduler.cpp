#include "runtime/scheduler.hpp"

#include <algorithm>
#include <utility>

namespace zp {

int64_t Scheduler::submit(GenerateRequest request) {
    const int64_t id = next_id_++;
    const int n_prompt = static_cast<int>(request.prompt.size());
    Sequence* sequence = sequences_.acquire(request.prompt, request.interventions);
    const int n_cached = sequence->n_cached;
    ActiveRequest active{.id = id, .request = std::move(request), .sequence = sequence};
    active.n_prompt = n_prompt;
    active.n_cached = active.n_read = n_cached;
    requests_.emplace(id, std::move(active));
    return id;
}

const ActiveRequest* Scheduler::find(int64_t id) const {
    const auto found = requests_.find(id);
    return found == requests_.end() ? nullptr : &found->second;
}

void Scheduler::steer(int64_t id, Steering steering) {
    const auto found = requests_.find(id);
    if (found != requests_.end()) found->second.steering = std::move(steering);
}

void Scheduler::remove(int64_t id) {
    const auto found = requests_.find(id);
    if (found == requests_.end()) return;
    sequences_.release(found->second.sequence);
    requests_.erase(found);
}

void Scheduler::remove_all() {
    while (!requests_.empty()) remove(requests_.begin()->first);
}

Batch Scheduler::schedule() {
    Batch batch;
    for (auto& [id, r] : requests_) {
        r.n_scheduled = r.n_drafted = 0;
        r.logits_row = -1;
    }
    for (const bool is_decoding : {true, false}) {
        for (auto& [id, r] : requests_) {
            const int n_free_rows = max_batch_tokens_ - static_cast<int>(batch.tokens.size());
            if (n_free_rows == 0 || (r.n_uncomputed() == 1) != is_decoding) continue;
            if (r.state == RequestState::kPreempted) {
                if (!can_resume(r)) continue;
                sequences_.resume(*r.sequence);
                r.state = RequestState::kRunning;
            }
            const int n_known = std::min(r.n_uncomputed(), n_free_rows);
            const int n = reserve(r, n_known + n_guesses(batch, r));
            if (n == 0) continue;
            r.state = RequestState::kRunning;
            r.n_drafted = std::max(0, n - n_known);
            add_to_batch(batch, r, n);
        }
    }
    return batch;
}

int Scheduler::n_guesses(const Batch& batch, const ActiveRequest& r) const {
    const size_t n_draft = r.steering.draft.size();
    const size_t n_rows = batch.tokens.size() + 1 + n_draft,
                 n_logit_rows = batch.output_rows.size() + 1 + n_draft;
    if (r.n_uncomputed() != 1 || n_logit_rows > kMaxLogitRows) return 0;
    return n_rows > static_cast<size_t>(max_batch_tokens_) ? 0 : static_cast<int>(n_draft);
}

void Scheduler::add_to_batch(Batch& batch, ActiveRequest& r, int n) const {
    const int first_row = static_cast<int>(batch.tokens.size());
    const auto begin = r.sequence->tokens.begin() + r.sequence->n_cached;
    batch.tokens.insert(batch.tokens.end(), begin, begin + (n - r.n_drafted));
    const std::vector<int32_t>& draft = r.steering.draft;
    batch.tokens.insert(batch.tokens.end(), draft.begin(), draft.begin() + r.n_drafted);
    batch.slices.push_back(sequences_.slice(*r.sequence, first_row, n));
    batch.interventions.push_back(r.sequence->interventions.get());
    r.n_scheduled = n;
    if (n < r.n_uncomputed()) return;
    r.logits_row = static_cast<int>(batch.output_rows.size());
    for (int row = n - 1 - r.n_drafted; row < n; ++row) batch.output_rows.push_back(first_row + row);
}

int Scheduler::reserve(ActiveRequest& r, int n) {
    for (;;) {
        const Result<int> n_writable = sequences_.reserve(*r.sequence, n);
        if (n_writable.ok()) return n_writable.value();
        const auto youngest = std::find_if(requests_.rbegin(), requests_.rend(), [](const auto& other) {
            return other.second.n_scheduled == 0 && other.second.sequence->has_blocks();
        });
        if (youngest == requests_.rend() || youngest->first <= r.id) return 0;
        sequences_.preempt(*youngest->second.sequence);
        youngest->second.state = RequestState::kPreempted;
    }
}

bool Scheduler::can_resume(const ActiveRequest& r) const {
    return r.id == requests_.begin()->first ||
           sequences_.has_room(static_cast<int>(r.sequence->tokens.size()) + 1);
}

std::vector<ActiveRequest*> Scheduler::scheduled() {
    std::vector<ActiveRequest*> scheduled;
    for (auto& [id, r] : requests_)
        if (r.n_scheduled > 0) scheduled.push_back(&r);
    return scheduled;
}

void Scheduler::commit(ActiveRequest& r, int n_accepted) {
    const int n_rejected = r.n_drafted - n_accepted;
    // Later tokens overwrite the keys and values of rejected guesses. A recurrent state contains them, so the
    // pass counts as not made: the next one computes the accepted tokens again.
    if (n_rejected == 0 || !sequences_.has_states())
        sequences_.advance(*r.sequence, r.n_scheduled - n_rejected);
    r.n_read = std::max(r.n_read, std::min(r.sequence->n_cached, r.n_prompt));
}

Error Scheduler::reject_oldest() {
    ActiveRequest& oldest = requests_.begin()->second;
    const Result<int> reserved = sequences_.reserve(*oldest.sequence, 1);
    remove(oldest.id);
    return reserved.ok() ? out_of_memory("the KV cache is full; end other answers and try again")
                         : reserved.error();
}

int Scheduler::count(RequestState state) const {
    return static_cast<int>(std::count_if(requests_.begin(), requests_.end(),
                                          [state](const auto& item) { return item.second.state == state; }));
}

}  // namespace zp
