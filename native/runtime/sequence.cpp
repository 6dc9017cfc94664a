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

SequencePool::SequencePool(const PageLayout& layout, const CacheLimits& limits)
    : pages_(layout, limits.most_bytes), most_idle_pages_(limits.most_idle_bytes / layout.page_bytes()) {}

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

void SequencePool::take_over(Sequence& sequence, PrefixIndex::Match match) {
    sequence.n_cached = match.n_tokens;
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

Result<PageRef> SequencePool::page_for(const PageRef* shared, int n_positions) {
    while (pages_.is_full() && index_.evict_oldest()) {
    }
    if (shared == nullptr) return pages_.take();
    return shared->use_count() == 1 ? *shared : pages_.copy(**shared, n_positions);
}

Result<int> SequencePool::reserve(Sequence& sequence, int n) {
    for (int p = sequence.n_cached / kChunk; p < pages_for(sequence.n_cached + n); ++p) {
        const size_t at = static_cast<size_t>(p);
        const bool is_new = at == sequence.pages.size();
        if (!is_new && sequence.pages[at].use_count() == 1) continue;
        Result<PageRef> page =
            page_for(is_new ? nullptr : &sequence.pages[at], std::max(sequence.n_cached - p * kChunk, 0));
        if (!page.ok() && p * kChunk > sequence.n_cached) return p * kChunk - sequence.n_cached;
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

void SequencePool::truncate(Sequence& sequence, int n) {
    sequence.tokens.resize(static_cast<size_t>(n));
    sequence.n_cached = std::min(sequence.n_cached, n);
    const size_t n_pages = static_cast<size_t>(pages_for(sequence.n_cached));
    sequence.pages.resize(std::min(sequence.pages.size(), n_pages));
    sequence.table.resize(sequence.pages.size());
}

void SequencePool::give_back(Sequence& sequence) {
    sequence.pages.resize(static_cast<size_t>(pages_for(sequence.n_cached)));
    if (sequence.is_shared())
        index_.keep(std::span(sequence.tokens).first(static_cast<size_t>(sequence.n_cached)), sequence.pages);
    take_over(sequence, {});
}

void SequencePool::suspend(Sequence& sequence) { give_back(sequence); }

void SequencePool::resume(Sequence& sequence) {
    const size_t most = std::max<size_t>(sequence.tokens.size(), 1) - 1;
    take_over(sequence, sequence.is_shared() ? longest_match(std::span(sequence.tokens).first(most))
                                             : PrefixIndex::Match{});
}

void SequencePool::release(Sequence* sequence) {
    give_back(*sequence);
    std::erase_if(sequences_, [&](const auto& s) { return s.get() == sequence; });
    while (pages_.n_pages() > most_idle_pages_ && index_.evict_oldest()) {
    }
}

Slice SequencePool::slice(const Sequence& sequence, int first_row, int n) const {
    return {{pages_.layout(), sequence.table.data()}, first_row, n, sequence.n_cached};
}

bool SequencePool::has_room(int n_positions) const {
    const size_t n_free = pages_.most_pages() - std::min(pages_.most_pages(), pages_.n_pages());
    return static_cast<size_t>(pages_for(n_positions)) <= n_free + index_.n_idle();
}

Status SequencePool::check_fits(int n_positions) const {
    if (static_cast<size_t>(pages_for(n_positions)) <= pages_.most_pages()) return {};
    return out_of_memory(
        "the text has " + std::to_string(n_positions) + " tokens and the key/value cache holds " +
        std::to_string(pages_.most_pages() * kChunk) + "; shorten it or give a larger --cache-memory");
}

}  // namespace zp
