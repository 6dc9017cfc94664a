#include "runtime/kv_cache/sequence.hpp"

#include <algorithm>
#include <utility>

namespace zp {

int Sequence::common_prefix(std::span<const int32_t> prompt) const {
    const size_t max_length = std::min(prompt.size(), static_cast<size_t>(n_cached));
    size_t n = 0;
    while (n < max_length && tokens[n] == prompt[n]) ++n;
    return static_cast<int>(n);
}

bool Sequence::has_blocks() const {
    return state != nullptr ||
           std::any_of(pages.begin(), pages.end(), [](const auto& p) { return !p.empty(); });
}

SequencePool::SequencePool(const ModelSpec& spec, const CacheLayout& layout, const CacheLimits& limits,
                           const CacheWindow& window)
    : spec_(spec),
      window_(window),
      pool_(layout, limits.max_bytes),
      kept_(layout, window.is_on() ? window.n_positions : spec.n_ctx, window.n_sinks),
      max_idle_bytes_(limits.max_idle_bytes),
      index_(kept_) {}

PrefixIndex::Match SequencePool::longest_match(std::span<const int32_t> tokens) {
    PrefixIndex::Match match = index_.find(tokens);
    for (const auto& s : sequences_) {
        const int n = s->is_shared() ? s->common_prefix(tokens) : 0;
        if (n <= match.n_tokens || !can_continue_at(*s, n)) continue;
        if (!kept_.needs_checkpoints())
            index_.insert(tokens.first(static_cast<size_t>(match.n_tokens)), match.pages);
        match = {n, GroupPages(s->pages.size()), checkpoint_of(*s, n)};
        for (size_t g = 0; g < s->pages.size(); ++g)
            if (kept_.keeps_all(g))
                match.pages[g] = {s->pages[g].begin(), s->pages[g].begin() + pages_for(n)};
    }
    return match;
}

// A sequence with dropped pages can only be continued after the position at which it last dropped one.
bool SequencePool::adopt_shifted(Sequence& sequence, int n_matched) {
    const std::span<const int32_t> tokens = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
    const auto point = [&](const std::unique_ptr<Sequence>& s) {
        return nearest_point(*s, s->common_prefix(tokens));
    };
    const auto best = std::max_element(shifted_.begin(), shifted_.end(),
                                       [&](const auto& a, const auto& b) { return point(a) < point(b); });
    if (best == shifted_.end()) return false;
    const int n = point(*best);
    if (n <= n_matched) return false;
    return_to(**best, n);
    std::swap((*best)->tokens, sequence.tokens);
    sequence = std::move(**best);
    shifted_.erase(best);
    return true;
}

void SequencePool::adopt(Sequence& sequence, const PrefixIndex::Match& match) const {
    sequence.n_cached = match.n_tokens;
    sequence.n_dropped = 0;
    sequence.sinks.clear();
    sequence.checkpoints.clear();
    sequence.pages = match.pages;
    sequence.pages.resize(pool_.n_groups());
    sequence.tables.assign(pool_.n_groups(), {});
    for (size_t g = 0; g < sequence.pages.size(); ++g)
        for (const BlockRef& page : sequence.pages[g]) sequence.tables[g].push_back(page->data());
    sequence.state = nullptr;
    sequence.next_state = nullptr;
    sequence.n_previous = Sequence::kNone;
    if (match.checkpoint != nullptr) restore_checkpoint(sequence, *match.checkpoint);
    cut(sequence, match.n_tokens);
}

Sequence* SequencePool::acquire(std::span<const int32_t> prompt,
                                std::shared_ptr<const Interventions> interventions) {
    auto sequence = std::make_unique<Sequence>();
    sequence->interventions = std::move(interventions);
    sequence->tokens.assign(prompt.begin(), prompt.end());
    resume(*sequence);
    sequences_.push_back(std::move(sequence));
    return sequences_.back().get();
}

bool SequencePool::evict_idle() {
    if (index_.evict_oldest()) return true;
    if (shifted_.empty()) return false;
    shifted_.erase(shifted_.begin());
    return true;
}

bool SequencePool::evict() {
    if (evict_idle()) return true;
    for (const auto& s : sequences_) {
        if (s->checkpoints.empty()) continue;
        s->checkpoints.erase(s->checkpoints.begin());
        return true;
    }
    return false;
}

void SequencePool::evict_for(size_t n_bytes) {
    while (!pool_.has_room(n_bytes) && evict()) {
    }
}

Result<BlockRef> SequencePool::take_page(size_t group) {
    evict_for(pool_.page_bytes(group));
    return pool_.take_page(group);
}

Result<BlockRef> SequencePool::take_state() {
    evict_for(pool_.state_bytes());
    return pool_.take_state();
}

void SequencePool::release_blocks(Sequence& sequence) {
    cut(sequence, sequence.n_cached);
    if (sequence.is_shared() && sequence.n_cached > 0) {
        const auto tokens = std::span(sequence.tokens).first(static_cast<size_t>(sequence.n_cached));
        index_.insert(tokens, sequence.pages);
        if (kept_.needs_checkpoints())
            index_.add_checkpoint(tokens, checkpoint_of(sequence, sequence.n_cached));
    }
    adopt(sequence, {});
}

void SequencePool::preempt(Sequence& sequence) { release_blocks(sequence); }

void SequencePool::resume(Sequence& sequence) {
    if (sequence.tokens.empty() || sequence.interventions != nullptr) return adopt(sequence, {});
    const size_t max_length = sequence.tokens.size() - 1;
    PrefixIndex::Match match = longest_match(std::span(sequence.tokens).first(max_length));
    if (adopt_shifted(sequence, match.n_tokens)) {
        if (!kept_.needs_checkpoints())
            index_.insert(std::span(sequence.tokens).first(static_cast<size_t>(match.n_tokens)), match.pages);
        return;
    }
    adopt(sequence, match);
}

void SequencePool::release(Sequence* sequence) {
    const auto own = std::find_if(sequences_.begin(), sequences_.end(),
                                  [&](const auto& s) { return s.get() == sequence; });
    if (sequence->interventions == nullptr && sequence->n_dropped > 0) {
        truncate(*sequence, sequence->n_cached);
        sequence->next_state = nullptr;
        sequence->n_previous = Sequence::kNone;
        shifted_.push_back(std::move(*own));
    } else {
        release_blocks(*sequence);
    }
    sequences_.erase(own);
    while (pool_.used_bytes() > max_idle_bytes_ && evict_idle()) {
    }
}

Slice SequencePool::slice(const Sequence& sequence, int first_row, int n) const {
    CacheView view{&pool_.layout(), sequence.tables.data()};
    if (sequence.state != nullptr) view.states = sequence.state->floats();
    if (sequence.next_state != nullptr) view.next_states = sequence.next_state->floats();
    return {view, first_row, n, sequence.n_positions(), sequence.n_dropped};
}

size_t SequencePool::n_bytes(const Sequence& sequence) {
    size_t n = 0;
    const auto add = [&](const BlockRef& block) { n += block == nullptr ? 0 : block->n_bytes(); };
    for (const std::vector<BlockRef>& pages : sequence.pages) std::for_each(pages.begin(), pages.end(), add);
    for (const std::vector<BlockRef>& pages : sequence.sinks) std::for_each(pages.begin(), pages.end(), add);
    add(sequence.state);
    add(sequence.next_state);
    return n;
}

bool SequencePool::has_room(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    size_t n_idle = index_.idle_bytes();
    for (const auto& s : shifted_) n_idle += n_bytes(*s);
    return pool_.used_bytes() + sequence_bytes(n_positions) <= pool_.max_bytes() + n_idle;
}

Status SequencePool::check_fits(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    if (sequence_bytes(n_positions) <= pool_.max_bytes()) return {};
    int n_held = 0;
    while (sequence_bytes(n_held + kChunk) <= pool_.max_bytes()) n_held += kChunk;
    return out_of_memory("the text has " + std::to_string(n_positions) + " tokens and the KV cache holds " +
                         std::to_string(n_held) + "; shorten it or give a larger --cache-memory");
}

}  // namespace zp
