// A sequence of tokens and the pages of keys and values computed for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/interventions.hpp"
#include "ops/attention.hpp"
#include "runtime/pages.hpp"
#include "runtime/prefix_index.hpp"
#include "runtime/window.hpp"

namespace zp {

struct Sequence {
    std::vector<int32_t> tokens;  // all of them; the first n_cached have been read
    int n_cached = 0;
    int n_dropped = 0;                   // of those read, after the sinks, that a window has left behind
    std::shared_ptr<const Edits> edits;  // how its passes are changed, or null
    std::vector<PageRef> pages;          // of the tokens read and not dropped, and of those about to be read
    std::vector<uint8_t*> table;         // their memory, for CacheView
    std::vector<PageRef> sinks;          // once something was dropped: the first pages as they were computed

    // Whether others may have its pages, and it theirs: what a changed pass computed is its own, and what
    // follows a dropped page holds for the same text alone.
    bool is_shared() const { return edits == nullptr && n_dropped == 0; }

    int n_held() const { return n_cached - n_dropped; }
    // Tokens that `prompt` and the cache have in common from the start.
    int common_prefix(std::span<const int32_t> prompt) const;
};

// How much memory caches may take: all of them, and those kept only because a later text may start alike.
struct CacheLimits {
    size_t most_bytes = SIZE_MAX;
    size_t most_idle_bytes = SIZE_MAX;
};

// The sequences of an engine that are in use, and the pages of those that were: the next turn of a
// conversation, and whatever else starts like something read before, continues from them.
class SequencePool {
public:
    SequencePool(const ModelSpec& spec, const PageLayout& layout, const CacheLimits& limits,
                 const CacheWindow& window);

    // A sequence whose cache holds as much of the start of `prompt` as any other one has; `tokens` become the
    // prompt. At least the last token is left to compute, since its logits are wanted. With edits it begins
    // with nothing, and gives nothing to others.
    Sequence* acquire(std::span<const int32_t> prompt, std::shared_ptr<const Edits> edits = nullptr);
    // Makes up to n next positions writable, and says how many: takes pages, and copies one that others hold
    // as well. Idle pages go to make room, those first that were not used for longest. kMemory if not one
    // position can be had. A full window drops a page here, and no step goes past where it drops the next:
    // what a token sees depends on its position alone.
    Result<int> reserve(Sequence& sequence, int n);
    // n more tokens have been read.
    void advance(Sequence& sequence, int n);
    // Forgets all but the first n tokens; everything where the window has left them behind.
    void truncate(Sequence& sequence, int n) const;
    // The fewest tokens that truncate() can go back to.
    int n_least(const Sequence& sequence) const;
    // Lets a sequence's pages go to whoever needs them; what is left of them by then, resume() finds again.
    void suspend(Sequence& sequence);
    void resume(Sequence& sequence);
    // Ends a sequence; its pages stay as long as there is room.
    void release(Sequence* sequence);

    // Pages to be saved: as computed, so that of a window's sinks the originals.
    Result<PageRef> page_to_save(const Sequence& sequence, int page);
    // Gives an empty sequence the pages that were saved of its tokens.
    Status restore(Sequence& sequence, int n_dropped, std::vector<PageRef> pages);
    Result<PageRef> take_page();

    // The rows of a batch from `first_row` on that read its next n tokens.
    Slice slice(const Sequence& sequence, int first_row, int n) const;
    // Whether so many positions could be held at once beside the sequences in use.
    bool has_room(int n_positions) const;
    // kMemory where so many positions could not be held even alone.
    Status check_fits(int n_positions) const;
    const CacheWindow& window() const { return window_; }
    size_t page_bytes() const { return pages_.layout().page_bytes(); }
    size_t used_bytes() const { return pages_.n_pages() * page_bytes(); }

private:
    using Sequences = std::vector<std::unique_ptr<Sequence>>;

    Result<PageRef> copy_page(CachePage& page, int n_positions);
    bool evict();
    Status drop_page(Sequence& sequence);
    Status move_sinks(Sequence& sequence);
    static void take_over(Sequence& sequence, PrefixIndex::Match match);
    PrefixIndex::Match longest_match(std::span<const int32_t> tokens);
    bool take_moved(Sequence& sequence, int n_matched);
    void give_back(Sequence& sequence);

    const ModelSpec& spec_;
    CacheWindow window_;
    PagePool pages_;
    size_t most_idle_pages_;
    PrefixIndex index_;
    Sequences sequences_;  // in use
    Sequences moved_;  // idle ones whose window has moved, the oldest first: of use to their own text alone
};

}  // namespace zp
