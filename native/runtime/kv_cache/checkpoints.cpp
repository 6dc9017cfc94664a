// Where a sequence can be continued after a rollback: taking checkpoints and returning to them.
#include <algorithm>

#include "runtime/kv_cache/sequence.hpp"

namespace zp {

void SequencePool::add_due_checkpoints(Sequence& sequence, int n_before) {
    for (int n = (n_before / kChunk + 1) * kChunk; n <= sequence.n_cached; n += kChunk)
        if ((n == sequence.n_due || n % kCheckpointDistance == 0) &&
            (!kept_.has_state() || n == sequence.n_cached))
            add_checkpoint(sequence, n);
}

void SequencePool::add_checkpoint(Sequence& sequence, int n_tokens) {
    const auto prefix = [&](int n) { return std::span(sequence.tokens).first(static_cast<size_t>(n)); };
    CheckpointRef checkpoint = checkpoint_of(sequence, n_tokens);
    if (!sequence.is_shared()) {
        sequence.checkpoints.push_back(std::move(checkpoint));
        if (sequence.checkpoints.size() > kMaxCheckpoints)
            sequence.checkpoints.erase(sequence.checkpoints.begin() + 1);
        return;
    }
    GroupPages full(sequence.pages.size());
    for (size_t g = 0; g < full.size(); ++g)
        if (kept_.keeps_all(g))
            full[g].assign(sequence.pages[g].begin(), sequence.pages[g].begin() + pages_for(n_tokens));
    index_.insert(prefix(n_tokens), full);
    if (!index_.add_checkpoint(prefix(n_tokens), std::move(checkpoint))) return;  // another sequence's
    sequence.indexed.push_back(n_tokens);
    if (sequence.indexed.size() <= kMaxCheckpoints) return;
    index_.remove_checkpoint(prefix(sequence.indexed[1]));
    sequence.indexed.erase(sequence.indexed.begin() + 1);
}

CheckpointRef SequencePool::checkpoint_of(const Sequence& sequence, int n_tokens) const {
    if (!kept_.needs_checkpoints()) return nullptr;
    auto checkpoint = std::make_shared<Checkpoint>();
    checkpoint->n_tokens = n_tokens;
    if (kept_.has_state()) checkpoint->state = sequence.state;
    checkpoint->windows.resize(sequence.pages.size());
    const int n_positions = n_tokens - sequence.n_dropped;
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        if (kept_.keeps_all(g)) continue;
        const std::vector<BlockRef>& pages = sequence.pages[g];
        const int first = kept_.first_page(g, n_positions, kRollbackSlack);
        for (int p = first; p < pages_for(n_positions); ++p)
            if (pages[static_cast<size_t>(p)] != nullptr)
                checkpoint->windows[g].push_back(pages[static_cast<size_t>(p)]);
    }
    return checkpoint;
}

// Whether the pages and the state that the sequence has suffice at an earlier length.
bool SequencePool::can_continue_at(const Sequence& sequence, int n_tokens) const {
    if (n_tokens < min_tokens(sequence) || n_tokens > sequence.n_cached) return false;
    if (kept_.has_state() && n_tokens != sequence.n_cached) return false;
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        const size_t first = static_cast<size_t>(kept_.first_page(g, n_tokens - sequence.n_dropped, 0));
        if (first < sequence.pages[g].size() && sequence.pages[g][first] == nullptr) return false;
    }
    return true;
}

// The last length up to n_tokens at which the sequence can continue from what it holds itself; 0: none.
int SequencePool::nearest_point(const Sequence& sequence, int n_tokens) const {
    if (n_tokens < min_tokens(sequence)) return 0;
    if (can_continue_at(sequence, n_tokens)) return n_tokens;
    int nearest = 0;
    if (const int n = sequence.n_previous; n <= n_tokens && n >= min_tokens(sequence))
        nearest = std::max(n, 0);
    for (const CheckpointRef& checkpoint : sequence.checkpoints)
        if (checkpoint->n_tokens <= n_tokens && checkpoint->n_tokens >= min_tokens(sequence))
            nearest = std::max(nearest, checkpoint->n_tokens);
    return nearest;
}

// Returns to a nearest_point().
void SequencePool::return_to(Sequence& sequence, int n_tokens) {
    if (n_tokens == 0) return adopt(sequence, {});
    if (can_continue_at(sequence, n_tokens)) return cut(sequence, n_tokens);
    if (n_tokens == sequence.n_previous) {
        std::swap(sequence.state, sequence.next_state);
        sequence.n_previous = Sequence::kNone;
        return cut(sequence, n_tokens);
    }
    const auto own = std::find_if(sequence.checkpoints.begin(), sequence.checkpoints.end(),
                                  [&](const CheckpointRef& c) { return c->n_tokens == n_tokens; });
    const CheckpointRef checkpoint = *own;
    restore_checkpoint(sequence, *checkpoint);
    cut(sequence, n_tokens);
}

void SequencePool::restore_checkpoint(Sequence& sequence, const Checkpoint& checkpoint) const {
    const size_t n_pages = static_cast<size_t>(pages_for(checkpoint.n_tokens - sequence.n_dropped));
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        if (kept_.keeps_all(g)) continue;
        const std::vector<BlockRef>& kept = checkpoint.windows[g];
        sequence.pages[g].assign(n_pages - kept.size(), nullptr);
        sequence.pages[g].insert(sequence.pages[g].end(), kept.begin(), kept.end());
        sequence.tables[g].clear();
        for (const BlockRef& page : sequence.pages[g])
            sequence.tables[g].push_back(page == nullptr ? nullptr : page->data());
    }
    sequence.state = checkpoint.state;
    sequence.n_previous = Sequence::kNone;
}

// Forgets what was computed after the first n_tokens, and pages reserved for it.
void SequencePool::cut(Sequence& sequence, int n_tokens) const {
    sequence.n_cached = n_tokens;
    const size_t n_pages = static_cast<size_t>(pages_for(sequence.n_positions()));
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        sequence.pages[g].resize(std::min(sequence.pages[g].size(), n_pages));
        sequence.tables[g].resize(sequence.pages[g].size());
    }
    std::erase_if(sequence.indexed, [&](int n) { return n > static_cast<int>(sequence.tokens.size()); });
    std::erase_if(sequence.checkpoints, [&](const CheckpointRef& c) { return c->n_tokens > n_tokens; });
}

int SequencePool::min_tokens(const Sequence& sequence) const {
    return sequence.n_dropped == 0 ? 0 : window_.n_positions + sequence.n_dropped - kChunk;
}

void SequencePool::truncate(Sequence& sequence, int n) {
    sequence.tokens.resize(static_cast<size_t>(n));
    if (n >= sequence.n_cached) return cut(sequence, sequence.n_cached);
    const int own = nearest_point(sequence, n);
    if (own < n && sequence.is_shared()) {
        const PrefixIndex::Match match = longest_match(sequence.tokens);
        if (match.n_tokens > own) return adopt(sequence, match);
    }
    return_to(sequence, own);
}

}  // namespace zp
