// Sequences of tokens with the KV cache pages computed for them, and the pool that shares, evicts and
// preempts those pages.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/interventions.hpp"
#include "ops/attention.hpp"
#include "runtime/kv_cache/pages.hpp"
#include "runtime/kv_cache/prefix_index.hpp"
#include "runtime/kv_cache/window.hpp"

namespace zp {

struct Sequence {
    std::vector<int32_t> tokens;
    int n_cached = 0;   // tokens whose keys and values have been computed: a prefix of `tokens`
    int n_dropped = 0;  // of those, after the sinks, the tokens that the window has dropped from the cache
    std::shared_ptr<const Interventions> interventions;  // applied to all its passes; null: none
    std::vector<PageRef> pages;  // of the computed tokens not dropped, and of those reserved
    PageTable table;             // their memory, for CacheView
    std::vector<PageRef> sinks;  // after the first drop: the sink pages as they were computed, unshifted

    // Whether it may share pages with other sequences. An intervention changes keys and values, and those
    // after a dropped page depend on the dropped text.
    bool is_shared() const { return interventions == nullptr && n_dropped == 0; }

    // Positions it occupies in the cache.
    int n_positions() const { return n_cached - n_dropped; }
    // Length of the common prefix of `prompt` and the computed tokens.
    int common_prefix(std::span<const int32_t> prompt) const;
};

// Limits on cache memory.
struct CacheLimits {
    size_t max_bytes = SIZE_MAX;       // all pages
    size_t max_idle_bytes = SIZE_MAX;  // once a sequence ends, idle pages are evicted down to this total
};

// The open sequences of an engine, and the idle pages of closed ones. A new prompt reuses the pages of its
// longest cached prefix: the next turn of a conversation, or any text with the same beginning.
class SequencePool {
public:
    SequencePool(const ModelSpec& spec, const CacheLayout& layout, const CacheLimits& limits,
                 const CacheWindow& window);

    // Opens a sequence with tokens = prompt and the pages of the longest cached prefix. The last token is
    // never taken from the cache, because its logits must be computed. With interventions the cache starts
    // empty and is not shared.
    Sequence* acquire(std::span<const int32_t> prompt,
                      std::shared_ptr<const Interventions> interventions = nullptr);
    // Makes up to n next positions writable and returns how many: allocates pages, and copies a shared page
    // before it is written (copy on write). Evicts idle pages, least recently used first. kMemory if there is
    // no room for a single position. A full window drops its oldest page here, and never within a step, so
    // that the context of a token depends on its position alone.
    Result<int> reserve(Sequence& sequence, int n);
    // Records that the keys and values of n more tokens have been computed.
    void advance(Sequence& sequence, int n);
    // Removes all but the first n tokens. Empties the sequence if the window has dropped the pages before n.
    void truncate(Sequence& sequence, int n) const;
    // The smallest n, other than 0, that truncate() can restore.
    int min_tokens(const Sequence& sequence) const;
    // Makes a sequence's pages idle, so that others can evict them. resume() takes back those that survive.
    void preempt(Sequence& sequence);
    void resume(Sequence& sequence);
    // Closes a sequence. Its pages stay cached until they are evicted.
    void release(Sequence* sequence);

    // A page as it was computed, for a snapshot: of shifted sinks, the original.
    Result<PageRef> snapshot_page(const Sequence& sequence, int page);
    // Gives an empty sequence the snapshot pages of its tokens.
    Status restore(Sequence& sequence, int n_dropped, std::vector<PageRef> pages);
    // A free page; evicts idle pages to get one.
    Result<PageRef> take_page();

    // The slice of a batch, from row `first_row`, that computes the sequence's next n tokens.
    Slice slice(const Sequence& sequence, int first_row, int n) const;
    // Whether n positions fit next to the open sequences.
    bool has_room(int n_positions) const;
    // kMemory if n positions would not fit even in an empty cache.
    Status check_fits(int n_positions) const;
    const CacheWindow& window() const { return window_; }
    size_t page_bytes() const { return pages_.page_bytes(); }
    size_t used_bytes() const { return pages_.n_pages() * page_bytes(); }

private:
    using Sequences = std::vector<std::unique_ptr<Sequence>>;

    Result<PageRef> copy_page(CachePage& page, int n_positions);
    bool evict();
    Status drop_page(Sequence& sequence);
    Status shift_sinks(Sequence& sequence);
    static void adopt(Sequence& sequence, PrefixIndex::Match match);
    PrefixIndex::Match longest_match(std::span<const int32_t> tokens);
    bool adopt_shifted(Sequence& sequence, int n_matched);
    void release_pages(Sequence& sequence);

    const ModelSpec& spec_;
    CacheWindow window_;
    PagePool pages_;
    size_t max_idle_pages_;
    PrefixIndex index_;
    Sequences sequences_;  // open
    Sequences shifted_;    // closed, with dropped pages, oldest first: only the same text can continue them
};

}  // namespace zp
