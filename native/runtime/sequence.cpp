#include "runtime/sequence.hpp"

#include <algorithm>
#include <utility>

namespace zp {

int Sequence::common_prefix(std::span<const int32_t> prompt) const {
    const size_t most = std::min(prompt.size(), static_cast<size_t>(n_cached));
    size_t n = 0;
    while (n < most && tokens[n] == prompt[n]) ++n;
    return static_cast<int>(n);
}

SequencePool::SequencePool(const ModelSpec& spec, const PageLayout& layout, const CacheLimits& limits,
                           const CacheWindow& window)
    : spec_(spec),
      window_(window),
      pages_(layout, limits.most_bytes),
      most_idle_pages_(limits.most_idle_bytes / layout.page_bytes()) {}

PrefixIndex::Match SequencePool::longest_match(std::span<const int32_t> tokens) {
    PrefixIndex::Match match = index_.find(tokens);
    for (const auto& s : sequences_) {
        const int n = s->is_shared() ? s->common_prefix(tokens) : 0;
        if (n <= match.n_tokens) continue;
        index_.keep(tokens.first(static_cast<size_t>(match.n_tokens)), match.pages);
        match = {n, {s->pages.begin(), s->pages.begin() + pages_for(n)}};
    }
    return match;
}

// A text whose window has moved on can be continued if it goes on behind where the window last moved.
bool SequencePool::take_moved(Sequence& sequence, int n_matched) {
    const std::span<const int32_t> tokens = std::span(sequence.tokens).first(sequence.tokens.size() - 1);
    const auto best = std::max_element(moved_.begin(), moved_.end(), [&](const auto& a, const auto& b) {
        return a->common_prefix(tokens) < b->common_prefix(tokens);
    });
    if (best == moved_.end()) return false;
    const int n = (*best)->common_prefix(tokens);
    if (n <= n_matched || n < n_least(**best)) return false;
    truncate(**best, n);
    std::swap((*best)->tokens, sequence.tokens);
    sequence = std::move(**best);
    moved_.erase(best);
    return true;
}

void SequencePool::take_over(Sequence& sequence, PrefixIndex::Match match) {
    sequence.n_cached = match.n_tokens;
    sequence.n_dropped = 0;
    sequence.sinks.clear();
    sequence.pages = std::move(match.pages);
    sequence.table.clear();
    for (const PageRef& page : sequence.pages) sequence.table.push_back(page->data());
}

Sequence* SequencePool::acquire(std::span<const int32_t> prompt, std::shared_ptr<const Edits> edits) {
    auto sequence = std::make_unique<Sequence>();
    sequence->edits = std::move(edits);
    sequence->tokens.assign(prompt.begin(), prompt.end());
    resume(*sequence);
    sequences_.push_back(std::move(sequence));
    return sequences_.back().get();
}

bool SequencePool::evict() {
    if (index_.evict_oldest()) return true;
    if (moved_.empty()) return false;
    moved_.erase(moved_.begin());
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

Status SequencePool::move_sinks(Sequence& sequence) {
    const size_t n_sinks = static_cast<size_t>(window_.n_sinks / kChunk);
    for (size_t p = sequence.sinks.size(); p < n_sinks; ++p) {
        Result<PageRef> moved = copy_page(*sequence.pages[p], kChunk);
        if (!moved.ok()) return moved.error();
        sequence.table[p] = moved.value()->data();
        sequence.sinks.push_back(std::exchange(sequence.pages[p], std::move(moved.value())));
    }
    for (size_t p = 0; p < n_sinks; ++p)
        move_keys(spec_, pages_.layout(), sequence.sinks[p]->data(), sequence.table[p], sequence.n_dropped);
    return {};
}

Status SequencePool::drop_page(Sequence& sequence) {
    sequence.n_dropped += kChunk;
    if (Status status = move_sinks(sequence); !status.ok()) {
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
        if (sequence.n_held() == window_.n_positions)
            if (Status status = drop_page(sequence); !status.ok()) return status.error();
        n = std::min(n, window_.n_positions - sequence.n_held());
    }
    const int held = sequence.n_held();
    for (int p = held / kChunk; p < pages_for(held + n); ++p) {
        const size_t at = static_cast<size_t>(p);
        const bool is_new = at == sequence.pages.size();
        if (!is_new && sequence.pages[at].use_count() == 1) continue;
        Result<PageRef> page =
            is_new ? take_page() : copy_page(*sequence.pages[at], std::clamp(held - p * kChunk, 0, kChunk));
        if (!page.ok() && p * kChunk > held) return p * kChunk - held;
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
    // Full pages are known to others from here on; where another sequence was faster, its pages are taken.
    std::vector<PageRef> full(sequence.pages.begin(), sequence.pages.begin() + sequence.n_cached / kChunk);
    index_.keep(std::span(sequence.tokens).first(full.size() * kChunk), full);
    for (size_t p = 0; p < full.size(); ++p) {
        sequence.table[p] = full[p]->data();
        sequence.pages[p] = std::move(full[p]);
    }
}

int SequencePool::n_least(const Sequence& sequence) const {
    return sequence.n_dropped == 0 ? 0 : window_.n_positions + sequence.n_dropped - kChunk;
}

void SequencePool::truncate(Sequence& sequence, int n) const {
    if (n < n_least(sequence)) {
        n = 0;
        take_over(sequence, {});
    }
    sequence.tokens.resize(static_cast<size_t>(n));
    sequence.n_cached = std::min(sequence.n_cached, n);
    const size_t n_pages = static_cast<size_t>(pages_for(sequence.n_held()));
    sequence.pages.resize(std::min(sequence.pages.size(), n_pages));
    sequence.table.resize(sequence.pages.size());
}

void SequencePool::give_back(Sequence& sequence) {
    sequence.pages.resize(static_cast<size_t>(pages_for(sequence.n_held())));
    if (sequence.is_shared())
        index_.keep(std::span(sequence.tokens).first(static_cast<size_t>(sequence.n_cached)), sequence.pages);
    take_over(sequence, {});
}

void SequencePool::suspend(Sequence& sequence) { give_back(sequence); }

void SequencePool::resume(Sequence& sequence) {
    if (sequence.tokens.empty() || sequence.edits != nullptr) return take_over(sequence, {});
    const size_t most = sequence.tokens.size() - 1;
    PrefixIndex::Match match = longest_match(std::span(sequence.tokens).first(most));
    if (take_moved(sequence, match.n_tokens)) {
        index_.keep(std::span(sequence.tokens).first(static_cast<size_t>(match.n_tokens)), match.pages);
        return;
    }
    take_over(sequence, std::move(match));
}

void SequencePool::release(Sequence* sequence) {
    const auto own = std::find_if(sequences_.begin(), sequences_.end(),
                                  [&](const auto& s) { return s.get() == sequence; });
    if (sequence->edits == nullptr && sequence->n_dropped > 0) {
        truncate(*sequence, sequence->n_cached);
        moved_.push_back(std::move(*own));
    } else {
        give_back(*sequence);
    }
    sequences_.erase(own);
    while (pages_.n_pages() > most_idle_pages_ && evict()) {
    }
}

Result<PageRef> SequencePool::page_to_save(const Sequence& sequence, int page) {
    const size_t at = static_cast<size_t>(page);
    const PageRef& held = at < sequence.sinks.size() ? sequence.sinks[at] : sequence.pages[at];
    const int n_positions = std::min(sequence.n_held() - page * kChunk, kChunk);
    if (n_positions == kChunk) return held;
    return copy_page(*held, n_positions);  // without what others left behind its end
}

Status SequencePool::restore(Sequence& sequence, int n_dropped, std::vector<PageRef> pages) {
    take_over(sequence, {static_cast<int>(sequence.tokens.size()), std::move(pages)});
    sequence.n_dropped = n_dropped;
    return n_dropped > 0 ? move_sinks(sequence) : Status();
}

Slice SequencePool::slice(const Sequence& sequence, int first_row, int n) const {
    return {{pages_.layout(), sequence.table.data()}, first_row, n, sequence.n_held(), sequence.n_dropped};
}

bool SequencePool::has_room(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    size_t n_idle = index_.n_idle();
    for (const auto& s : moved_) n_idle += s->pages.size();
    const size_t n_free = pages_.most_pages() - std::min(pages_.most_pages(), pages_.n_pages());
    return static_cast<size_t>(pages_for(n_positions)) <= n_free + n_idle;
}

Status SequencePool::check_fits(int n_positions) const {
    if (window_.is_on()) n_positions = std::min(n_positions, window_.n_positions);
    if (static_cast<size_t>(pages_for(n_positions)) <= pages_.most_pages()) return {};
    return out_of_memory(
        "the text has " + std::to_string(n_positions) + " tokens and the key/value cache holds " +
        std::to_string(pages_.most_pages() * kChunk) + "; shorten it or give a larger --cache-memory");
}

}  // namespace zp
