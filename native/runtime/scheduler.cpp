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
        r.n_scheduled = 0;
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
            const int n = reserve(r, std::min(r.n_uncomputed(), n_free_rows));
            if (n == 0) continue;
            r.state = RequestState::kRunning;
            add_to_batch(batch, r, n);
        }
    }
    return batch;
}

void Scheduler::add_to_batch(Batch& batch, ActiveRequest& r, int n) const {
    const int first_row = static_cast<int>(batch.tokens.size());
    const auto begin = r.sequence->tokens.begin() + r.sequence->n_cached;
    batch.tokens.insert(batch.tokens.end(), begin, begin + n);
    batch.slices.push_back(sequences_.slice(*r.sequence, first_row, n));
    batch.interventions.push_back(r.sequence->interventions.get());
    r.n_scheduled = n;
    if (n < r.n_uncomputed()) return;
    r.logits_row = static_cast<int>(batch.output_rows.size());
    batch.output_rows.push_back(first_row + n - 1);
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

void Scheduler::commit(ActiveRequest& r) {
    sequences_.advance(*r.sequence, r.n_scheduled);
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
