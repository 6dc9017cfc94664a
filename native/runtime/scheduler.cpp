// Which tokens of which requests the next pass reads, and who gives way when the cache is full.
#include <algorithm>

#include "runtime/engine.hpp"

namespace zp {

Batch Engine::plan_step() {
    Batch batch;
    const auto add = [&](Running& r, int n) {
        const int first = static_cast<int>(batch.tokens.size());
        const auto begin = r.sequence->tokens.begin() + r.sequence->n_cached;
        batch.tokens.insert(batch.tokens.end(), begin, begin + n);
        batch.slices.push_back(sequences_.slice(*r.sequence, first, n));
        batch.edits.push_back(r.sequence->edits.get());
        r.n_planned = n;
        if (r.sequence->n_cached + n == static_cast<int>(r.sequence->tokens.size())) {
            r.logits_row = static_cast<int>(batch.output_rows.size());
            batch.output_rows.push_back(first + n - 1);
        }
    };
    const auto pending = [](const Running& r) {
        return static_cast<int>(r.sequence->tokens.size()) - r.sequence->n_cached;
    };
    // Answers under way come first, so that a long prompt delays nobody by more than one chunk.
    for (const bool is_decoding : {true, false}) {
        for (auto& [id, r] : running_) {
            const int room = Forward::kMaxTokens - static_cast<int>(batch.tokens.size());
            if (room == 0 || (pending(r) == 1) != is_decoding) continue;
            if (r.is_suspended) {
                if (!may_resume(id, r)) continue;
                sequences_.resume(*r.sequence);
                r.is_suspended = false;
            }
            if (const int n = make_room(id, r, std::min(pending(r), room)); n > 0) add(r, n);
        }
    }
    return batch;
}

int Engine::make_room(int64_t id, Running& r, int n) {
    for (;;) {
        const Result<int> n_writable = sequences_.reserve(*r.sequence, n);
        if (n_writable.ok()) return n_writable.value();
        // Whoever came first goes on; the last to come gives its pages up and reads again later.
        const auto last = std::find_if(running_.rbegin(), running_.rend(), [&](const auto& other) {
            return other.second.n_planned == 0 && !other.second.sequence->pages.empty();
        });
        if (last == running_.rend() || last->first <= id) return 0;
        sequences_.suspend(*last->second.sequence);
        last->second.is_suspended = true;
    }
}

bool Engine::may_resume(int64_t id, const Running& r) const {
    return id == running_.begin()->first ||
           sequences_.has_room(static_cast<int>(r.sequence->tokens.size()) + 1);
}

Error Engine::refuse_oldest() {
    const auto oldest = running_.begin();
    const Result<int> refused = sequences_.reserve(*oldest->second.sequence, 1);
    sequences_.release(oldest->second.sequence);
    running_.erase(oldest);
    return refused.ok() ? out_of_memory("the key/value cache is full; end other answers") : refused.error();
}

}  // namespace zp
