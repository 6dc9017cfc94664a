// Sequences of tokens with the cache computed for them, and the pool that shares, evicts and preempts its
// blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/interventions.hpp"
#include "ops/attention.hpp"
#include "runtime/kv_cache/checkpoint.hpp"
#include "runtime/kv_cache/pages.hpp"
#include "runtime/kv_cache/prefix_index.hpp"
#include "runtime/kv_cache/window.hpp"

namespace zp {

struct Sequence {
    static constexpr int kNone = -1;

    std::vector<int32_t> tokens;
    int n_cached = 0;   // tokens that have been computed: a prefix of `tokens`
    int n_dropped = 0;  // of those, after the sinks, the tokens that the window has dropped from the cache
    std::shared_ptr<const Interventions> interventions;  // applied to all its passes; null: none

    GroupPages pages;               // of the computed tokens not dropped, and of those reserved; null entries
                                    // where a window no longer needs them
    std::vector<PageTable> tables;  // their memory, for CacheView
    GroupPages sinks;               // after the first drop: the sink pages as they were computed, unshifted

    BlockRef state;            // after n_cached tokens; null before the first pass
    BlockRef next_state;       // what a pass writes
    int n_previous = kNone;    // if known: next_state still is the state after this many tokens
    int n_due = 0;             // where a checkpoint is due: the last boundary of the text it was given
    std::vector<int> indexed;  // lengths at which it has a checkpoint in the prefix index
    std::vector<CheckpointRef> checkpoints;  // its own, if it does not share its pages

    // Whether it may share pages with other sequences. An intervention changes keys and values, and those
    // after a dropped page depend on the dropped text.
    bool is_shared() const { return interventions == nullptr && n_dropped == 0; }

    // Positions it occupies in the cache.
    int n_positions() const { return n_cached - n_dropped; }
    bool has_blocks() const;
    // Length of the common prefix of `prompt` and the computed tokens.
    int common_prefix(std::span<const int32_t> prompt) const;
};

// Limits on cache memory.
struct CacheLimits {
    size_t max_bytes = SIZE_MAX;       // all blocks
    size_t max_idle_bytes = SIZE_MAX;  // once a sequence ends, idle blocks are evicted down to this total
};

// One part of a KV snapshot: a page of a group, or the states.
struct SnapshotBlock {
    bool is_state;
    size_t group;
    int page;
    size_t n_bytes;
};

// The open sequences of an engine, and the idle blocks of closed ones. A new prompt reuses those of its
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
    // before it is written (copy on write). Evicts idle blocks, least recently used first. kMemory if there
    // is no room for a single position. With recurrent states, a pass ends where a checkpoint is due. A full
    // window drops its oldest page here, and never within a step, so that the context of a token depends on
    // its position alone.
    Result<int> reserve(Sequence& sequence, int n);
    // Commits a pass: n more tokens have been computed, and their state has been written.
    void advance(Sequence& sequence, int n);
    // Removes all but the first n tokens. Where a recurrent state or a window cannot go back to n, fewer stay
    // computed; a pass must compute the others again. Empties the cache if the window has dropped the pages
    // before n.
    void truncate(Sequence& sequence, int n);
    // The smallest n, other than 0, that truncate() can restore.
    int min_tokens(const Sequence& sequence) const;
    // Makes a sequence's blocks idle, so that others can evict them. resume() takes back those that survive.
    void preempt(Sequence& sequence);
    void resume(Sequence& sequence);
    // Closes a sequence. Its blocks stay cached until they are evicted.
    void release(Sequence* sequence);

    // The parts of a snapshot of a text.
    std::vector<SnapshotBlock> snapshot_blocks(int n_tokens, int n_dropped) const;
    // A part as it was computed: of shifted sinks, the original.
    Result<BlockRef> snapshot(const Sequence& sequence, const SnapshotBlock& block);
    // Gives an empty sequence the snapshot of its tokens, in the order of snapshot_blocks().
    Status restore(Sequence& sequence, int n_dropped, const std::vector<BlockRef>& blocks);
    // A free page or state; evicts idle blocks to get one.
    Result<BlockRef> take_page(size_t group);
    Result<BlockRef> take_state();

    // The slice of a batch, from row `first_row`, that computes the sequence's next n tokens.
    Slice slice(const Sequence& sequence, int first_row, int n) const;
    // Whether n positions fit next to the open sequences.
    bool has_room(int n_positions) const;
    // kMemory if n positions would not fit even in an empty cache.
    Status check_fits(int n_positions) const;
    const CacheWindow& window() const { return window_; }
    // Whether a layer keeps a recurrent state.
    bool has_states() const { return kept_.has_state(); }
    const CacheLayout& layout() const { return pool_.layout(); }
    // Cache memory of one sequence with n positions.
    size_t sequence_bytes(int n_positions) const { return zp::sequence_bytes(layout(), kept_, n_positions); }
    size_t used_bytes() const { return pool_.used_bytes(); }

private:
    using Sequences = std::vector<std::unique_ptr<Sequence>>;

    // sequence.cpp
    void adopt(Sequence& sequence, const PrefixIndex::Match& match) const;
    PrefixIndex::Match longest_match(std::span<const int32_t> tokens);
    bool adopt_shifted(Sequence& sequence, int n_matched);
    void release_blocks(Sequence& sequence);
    void evict_for(size_t n_bytes);
    bool evict_idle();
    bool evict();

    // passes.cpp
    int pass_end(Sequence& sequence) const;
    void drop_window_pages(Sequence& sequence, int n_pages) const;
    Status reserve_state(Sequence& sequence);
    Status reserve_page(Sequence& sequence, size_t group, int page);
    Result<BlockRef> copy_page(size_t group, CacheBlock& page, int n_positions);
    Status drop_page(Sequence& sequence);
    Status shift_sinks(Sequence& sequence);
    void publish(Sequence& sequence);

    // checkpoints.cpp
    void add_due_checkpoints(Sequence& sequence, int n_before);
    void add_checkpoint(Sequence& sequence, int n_tokens);
    CheckpointRef checkpoint_of(const Sequence& sequence, int n_tokens) const;
    bool can_continue_at(const Sequence& sequence, int n_tokens) const;
    int nearest_point(const Sequence& sequence, int n_tokens) const;
    void return_to(Sequence& sequence, int n_tokens);
    void restore_checkpoint(Sequence& sequence, const Checkpoint& checkpoint) const;
    void cut(Sequence& sequence, int n_tokens) const;
    static size_t n_bytes(const Sequence& sequence);

    const ModelSpec& spec_;
    CacheWindow window_;
    PagePool pool_;
    KeptPositions kept_;
    size_t max_idle_bytes_;
    PrefixIndex index_;
    Sequences sequences_;  // open
    Sequences shifted_;    // closed, with dropped pages, oldest first: only the same text can continue them
};

}  // namespace zp
