// What happens to a sequence before and after a forward pass.
#include <algorithm>
#include <utility>

#include "runtime/kv_cache/sequence.hpp"

namespace zp {

namespace {

// The next multiple of `step` after n.
int next_multiple(int n, int step) { return (n / step + 1) * step; }

}  // namespace

// Where the next pass must end: a state can only be kept after the last token of a pass. Short texts, such as
// drafts of the next tokens, are not divided.
int SequencePool::pass_end(Sequence& sequence) const {
    const int n_tokens = static_cast<int>(sequence.tokens.size());
    if (n_tokens - sequence.n_cached > kChunk) sequence.n_due = (n_tokens - 1) / kChunk * kChunk;
    if (!kept_.has_state()) return INT32_MAX;
    const int next = next_multiple(sequence.n_cached, kCheckpointDistance);
    return sequence.n_cached < sequence.n_due ? std::min(sequence.n_due, next) : next;
}

Status SequencePool::reserve_state(Sequence& sequence) {
    if (!kept_.has_state()) return {};
    if (sequence.state == nullptr) {
        Result<BlockRef> zeros = take_state();
        if (!zeros.ok()) return zeros.error();
        sequence.state = std::move(zeros.value());
    }
    // A checkpoint may share the state before the last pass. Evicting it costs less than failing.
    BlockRef& next = sequence.next_state;
    while (next != nullptr && next.use_count() > 1 && !pool_.has_room(pool_.state_bytes()) && evict()) {
    }
    if (next == nullptr || next.use_count() > 1) {
        Result<BlockRef> fresh = take_state();
        if (!fresh.ok()) return fresh.error();
        next = std::move(fresh.value());
    }
    sequence.n_previous = Sequence::kNone;  // the pass overwrites it
    return {};
}

Result<BlockRef> SequencePool::copy_page(size_t group, CacheBlock& page, int n_positions) {
    Result<BlockRef> fresh = take_page(group);
    if (fresh.ok()) pool_.copy(group, page, n_positions, *fresh.value());
    return fresh;
}

Status SequencePool::reserve_page(Sequence& sequence, size_t group, int page) {
    std::vector<BlockRef>& pages = sequence.pages[group];
    const size_t at = static_cast<size_t>(page);
    const bool is_new = at == pages.size();
    if (!is_new) {
        while (pages[at].use_count() > 1 && !pool_.has_room(pool_.page_bytes(group)) && evict()) {
        }
        if (pages[at].use_count() == 1) return {};
    }
    Result<BlockRef> own =
        is_new ? take_page(group)
               : copy_page(group, *pages[at], std::clamp(sequence.n_positions() - page * kChunk, 0, kChunk));
    if (!own.ok()) return own.error();
    if (is_new) {
        pages.emplace_back();
        sequence.tables[group].emplace_back();
    }
    sequence.tables[group][at] = own.value()->data();
    pages[at] = std::move(own.value());
    return {};
}

// Gives up the pages that windows will not need any more once there are n_pages. The pass about to run can be
// repeated without them.
void SequencePool::drop_window_pages(Sequence& sequence, int n_pages) const {
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        std::vector<BlockRef>& pages = sequence.pages[g];
        const size_t first = static_cast<size_t>(kept_.first_kept(g, n_pages));
        for (size_t p = std::min(first, pages.size()); p > 0 && pages[p - 1] != nullptr; --p) {
            pages[p - 1] = nullptr;
            sequence.tables[g][p - 1] = nullptr;
        }
    }
}

Result<int> SequencePool::reserve(Sequence& sequence, int n) {
    if (window_.is_on()) {
        if (sequence.n_positions() == window_.n_positions)
            if (Status status = drop_page(sequence); !status.ok()) return status.error();
        n = std::min(n, window_.n_positions - sequence.n_positions());
    }
    if (kept_.needs_checkpoints())
        n = std::min({n, Batch::kMaxTokens, pass_end(sequence) - sequence.n_cached});
    const int n_used = sequence.n_positions(), n_pages = pages_for(n_used + n);
    drop_window_pages(sequence, n_pages);
    if (Status status = reserve_state(sequence); !status.ok()) return status.error();
    for (int p = n_used / kChunk; p < n_pages; ++p) {
        for (size_t g = 0; g < sequence.pages.size(); ++g) {
            const Status status = reserve_page(sequence, g, p);
            if (status.ok()) continue;
            if (p * kChunk > n_used) return p * kChunk - n_used;
            return status.error();
        }
    }
    return n;
}

void SequencePool::advance(Sequence& sequence, int n) {
    const int n_before = sequence.n_cached;
    sequence.n_cached += n;
    if (kept_.has_state()) {
        std::swap(sequence.state, sequence.next_state);
        sequence.n_previous = n_before;
    }
    if (sequence.n_cached / kChunk == n_before / kChunk) return;
    if (sequence.is_shared() && kept_.has_kept_group()) publish(sequence);
    if (kept_.needs_checkpoints()) add_due_checkpoints(sequence, n_before);
}

// Publishes full pages to the prefix index. If another sequence computed the same page first, adopts its
// copy.
void SequencePool::publish(Sequence& sequence) {
    const size_t n_full = static_cast<size_t>(sequence.n_cached / kChunk);
    GroupPages full(sequence.pages.size());
    for (size_t g = 0; g < full.size(); ++g)
        if (kept_.keeps_all(g))
            full[g].assign(sequence.pages[g].begin(),
                           sequence.pages[g].begin() + static_cast<std::ptrdiff_t>(n_full));
    index_.insert(std::span(sequence.tokens).first(n_full * kChunk), full);
    for (size_t g = 0; g < full.size(); ++g) {
        for (size_t p = 0; p < full[g].size(); ++p) {
            sequence.tables[g][p] = full[g][p]->data();
            sequence.pages[g][p] = std::move(full[g][p]);
        }
    }
}

Status SequencePool::shift_sinks(Sequence& sequence) {
    const size_t n_sinks = static_cast<size_t>(window_.n_sinks / kChunk);
    sequence.sinks.resize(sequence.pages.size());
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        if (!kept_.keeps_all(g)) continue;
        for (size_t p = sequence.sinks[g].size(); p < n_sinks; ++p) {
            Result<BlockRef> shifted = copy_page(g, *sequence.pages[g][p], kChunk);
            if (!shifted.ok()) return shifted.error();
            sequence.tables[g][p] = shifted.value()->data();
            sequence.sinks[g].push_back(std::exchange(sequence.pages[g][p], std::move(shifted.value())));
        }
        for (size_t p = 0; p < n_sinks; ++p)
            shift_keys(spec_, layout(), g, sequence.sinks[g][p]->data(), sequence.tables[g][p],
                       sequence.n_dropped);
    }
    return {};
}

Status SequencePool::drop_page(Sequence& sequence) {
    CheckpointRef checkpoint;
    if (kept_.needs_checkpoints()) checkpoint = checkpoint_of(sequence, sequence.n_cached);
    sequence.n_dropped += kChunk;
    if (Status status = shift_sinks(sequence); !status.ok()) {
        sequence.n_dropped -= kChunk;
        return status;
    }
    // No earlier point can be restored now.
    sequence.indexed.clear();
    sequence.checkpoints.clear();
    if (checkpoint != nullptr) sequence.checkpoints.push_back(std::move(checkpoint));
    const std::ptrdiff_t oldest = window_.n_sinks / kChunk;
    for (size_t g = 0; g < sequence.pages.size(); ++g) {
        sequence.pages[g].erase(sequence.pages[g].begin() + oldest);
        sequence.tables[g].erase(sequence.tables[g].begin() + oldest);
    }
    return {};
}

}  // namespace zp
