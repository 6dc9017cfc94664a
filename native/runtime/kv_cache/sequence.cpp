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

SequencePool::SequencePool(const ModelSpec& spec, const CacheLayout& layout, const CacheLimits& limits,
                           const CacheWindow& window)
    : spec_(spec),
      window_(window),
      pages_(layout, limits.max_bytes),
      max_idle_pages_(limits.max_idle_bytes / pages_.page_bytes()) {}

PrefixIndex::Match SequencePool::longest_match(std::span<const int32_t> tokens) {
    PrefixIndex::Match match = index_.find(tokens);
    for (const auto& s : sequences_) {
        const int n = s->is_shared() ? s->common_prefix(tokens) : 0;
        if (n <= match.n_tokens) continue;
        index_.insert(tokens.first(static_cast<size_t>(match.n_tokens)), match.pages);
        match = {n, {s->pages.begin(), s->pages.begin() + pages_for(n)}};
    }
    return match;
}

// A sequence with dropped pages can only be continued after the position at which it last dropped one.
bool SequencePool::adopt_shifted(Sequence& sequence, int n_matched) {
    const std::span<const int32_t> tokens = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
    const auto best = std::max_element(shifted_.begin(), shifted_.end(), [&](const auto& a, const auto& b) {
        return a->common_prefix(tokens) < b->common_prefix(tokens);
    });
    if (best == shifted_.end()) return false;
    const int n = (*best)->common_prefix(tokens);
    if (n <= n_matched || n < min_tokens(**best)) return false;
    truncate(**best, n);
    std::swap((*best)->tokens, sequence.tokens);
    sequence = std::move(**best);
    shifted_.erase(best);
    return true;
}

void SequencePool::adopt(Sequence& sequence, PrefixIndex::Match match) {
    sequence.n_cached = match.n_tokens;
    sequence.n_dropped = 0;
    sequence.sinks.clear();
    sequence.pages = std::move(match.pages);
    sequence.table.clear();
    for (const PageRef& page : sequence.pages) sequence.table.push_back(page->data());
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

bool SequencePool::evict() {
    if (index_.evict_oldest()) return true;
    if (shifted_.empty()) return false;
    shifted_.erase(shifted_.begin());
    return true;
}

Result<PageRef> SequencePool::take_page() {
    while (pages_.is_full() && evict()) {
    }
    return pages_.take();
}

Result<PageRef> SequencePool::copy_page(CachePage& page, int n_positions) {
    Result<PageRef> fresh = take_page();
    if (fresh.ok()) pages_.copy(page, n_positions, *fresh.value());
    return fresh;
}

Status SequencePool::shift_sinks(Sequence& sequence) {
    const size_t n_sinks = static_cast<size_t>(window_.n_sinks / kChunk);
    for (size_t p = sequence.sinks.size(); p < n_sinks; ++p) {
        Result<PageRef> shifted = copy_page(*sequence.pages[p], kChunk);
        if (!shifted.ok()) return shifted.error();
        sequence.table[p] = shifted.value()->data();
        sequence.sinks.push_back(std::exchange(sequence.pages[p], std::move(shifted.value())));
    }
    for (size_t p = 0; p < n_sinks; ++p)
        shift_keys(spec_, pages_.layout(), sequence.sinks[p]->data(), sequence.table[p], sequence.n_dropped);
    return {};
}

Status SequencePool::drop_page(Sequence& sequence) {
    sequence.n_dropped += kChunk;
    if (Status status = shift_sinks(sequence); !status.ok()) {
        sequence.n_dropped -= kChunk;
        return status;
    }
    const std::ptrdiff_t oldest = window_.n_sinks / kChunk;
    sequence.pages.erase(sequence.pages.begin() + oldest);
    sequence.table.erase(sequence.table.begin() + oldest);
    return {};
}

Result<int> SequencePool::reserve(Sequence& sequence, int n) {
    if (window_.is_on()) {
        if (sequence.n_positions() == window_.n_positions)
            if (Status status = drop_page(sequence); !status.ok()) return status.error();
        n = std::min(n, window_.n_positions - sequence.n_positions());
    }
    const int n_used = sequence.n_positions();
    for (int p = n_used / kChunk; p < pages_for(n_used + n); ++p) {
        const size_t at = static_cast<size_t>(p);
        const bool is_new = at == sequence.pages.size();
        if (!is_new && sequence.pages[at].use_count() == 1) continue;
        Result<PageRef> page =
            is_new ? take_page() : copy_page(*sequence.pages[at], std::clamp(n_used - p * kChunk, 0, kChunk));
        if (!page.ok() && p * kChunk > n_used) return p * kChunk - n_used;
        if (!page.ok()) return page.error();
        if (is_new) {
            sequence.pages.emplace_back();
            sequence.table.emplace_back();
        }
        sequence.table[at] = page.value()->data();
        sequence.pages[at] = std::move(page.value());
    }
    return n;
}

void SequencePool::advance(Sequence& sequence, int n) {
    const int n_full = sequence.n_cached / kChunk;
    sequence.n_cached += n;
    if (sequence.n_cached / kChunk == n_full || !sequence.is_shared()) return;
    // Publish full pages to the prefix index. If another sequence computed the same page first, adopt its
    // copy.
    std::vector<PageRef> full(sequence.pages.begin(), sequence.pages.begin() + sequence.n_cached / kChunk);
    index_.insert(std::span(sequence.tokens).first(full.size() * kChunk), full);
    for (size_t p = 0; p < full.size(); ++p) {
        sequence.table[p] = full[p]->data();
        sequence.pages[p] = std::move(full[p]);
    }
}

int SequencePool::min_tokens(const Sequence& sequence) const {
    return sequence.n_dropped == 0 ? 0 : window_.n_positions + sequence.n_dropped - kChunk;
}

void SequencePool::truncate(Sequence& sequence, int n) const {
    if (n < min_tokens(sequence)) {
        n = 0;
        adopt(sequence, {});
    }
    sequence.tokens.resize(static_cast<size_t>(n));
    sequence.n_cached = std::min(sequence.n_cached, n);
    const size_t n_pages = static_cast<size_t>(pages_for(sequence.n_positions()));
    sequence.pages.resize(std::min(sequence.pages.size(), n_pages));
    sequence.table.resize(sequence.pages.size());
}

void SequencePool::release_pages(Sequence& sequence) {
    sequence.pages.resize(static_cast<size_t>(pages_for(sequence.n_positions())));
    if (sequence.is_shared())
        index_.insert(std::span(sequence.tokens).first(static_cast<size_t>(sequence.n_cached)),
                      sequence.pages);
    adopt(sequence, {});
}

void SequencePool::preempt(Sequence& sequence) { release_pages(sequence); }

void SequencePool::resume(Sequence& sequence) {
    if (sequence.tokens.empty() || sequence.interventions != nullptr) return adopt(sequence, {});
    const size_t max_length = sequence.tokens.size() - 1;
    PrefixIndex::Match match = longest_match(std::span(sequence.tokens).first(max_length));
    if (adopt_shifted(sequence, match.n_tokens)) {
        index_.insert(std::span(sequence.tokens).first(static_cast<size_t>(match.n_tokens)), match.pages);
        return;
    }
    adopt(sequence, std::move(match));
}

void SequencePool::release(Sequence* sequence) {
    const auto own = std::find_if(sequences_.begin(), sequences_.end(),
                                  [&](const auto& s) { return s.get() == sequence; });
    if (sequence->interventions == nullptr && sequence->n_dropped > 0) {
        truncate(*sequence, sequence->n_cached);
        shifted_.push_back(std::move(*own));
    } else {
        release_pages(*sequence);
    }
    sequences_.erase(own);
    while (pages_.n_pages() > max_idle_pages_ && evict()) {
    }
}

Result<PageRef> SequencePool::snapshot_page(const Sequence& sequence, int page) {
    const size_t at = static_cast<size_t>(page);
    const PageRef& stored = at < sequence.sinks.size() ? sequence.sinks[at] : sequence.pages[at];
    const int n_positions = std::min(sequence.n_positions() - page * kChunk, kChunk);
    if (n_positions == kChunk) return stored;
    return copy_page(*stored, n_positions);  // clears the rest, which may hold another text's keys and values
}

Status SequencePool::restore(Sequence& sequence, int n_dropped, std::vector<PageRef> pages) {
    adopt(sequence, {static_cast<int>(sequence.tokens.size()), std::move(pages)});
    sequence.n_dropped = n_dropped;
    return n_dropped > 0 ? shift_sinks(sequence) : Status();
}

Slice SequencePool::slice(const Sequence& sequence, int first_row, int n) const {
    return {{&pages_.layout(), &sequence.table}, first_row, n, sequence.n_positions(), sequence.n_dropped};
}

bool SequencePool::has_room(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    size_t n_idle = index_.n_idle();
    for (const auto& s : shifted_) n_idle += s->pages.size();
    const size_t n_free = pages_.max_pages() - std::min(pages_.max_pages(), pages_.n_pages());
    return static_cast<size_t>(pages_for(n_positions)) <= n_free + n_idle;
}

Status SequencePool::check_fits(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    if (static_cast<size_t>(pages_for(n_positions)) <= pages_.max_pages()) return {};
    return out_of_memory("the text has " + std::to_string(n_positions) + " tokens and the KV cache holds " +
                         std::to_string(pages_.max_pages() * kChunk) +
                         "; shorten it or give a larger --cache-memory");
}

}  // namespace zp
