// Checkpoints: what a text needs, besides the pages that keep all its positions, to be continued at an
// earlier point. Layers with a sliding window have given up the pages before it, and a recurrent state cannot
// be undone. After a rollback, or for another text with the same beginning, the sequence continues from the
// nearest checkpoint and computes the tokens after it again, which gives the same bits.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

#include "model/batch.hpp"
#include "runtime/kv_cache/pages.hpp"

namespace zp {

// An open sequence has checkpoints at the last page boundary of the text it was given, where the next turn of
// a conversation or another answer will probably start, and at every 8th page. It keeps the first, which may
// end a system prompt, and the latest.
inline constexpr int kCheckpointDistance = 8 * kChunk;
inline constexpr size_t kMaxCheckpoints = 4;  // of one open sequence

// Positions that a window keeps before those it sees, so that a rollback of as many tokens computes nothing
// again.
inline constexpr int kRollbackSlack = kChunk;

// Pages that a window keeps: wherever a pass begins within a page, those its first token sees, the slack and
// the pages that it writes.
inline int pages_of_window(int window) {
    window = std::min(window, 1 << 30);  // above any context, and the sum does not overflow
    return (window + kRollbackSlack + Batch::kMaxTokens + 2 * kChunk - 3) / kChunk;
}

struct Checkpoint {
    int n_tokens = 0;    // where the text continues
    GroupPages windows;  // of each group with a window: the last pages; empty for other groups
    BlockRef state;      // null if the layout has none
};

using CheckpointRef = std::shared_ptr<const Checkpoint>;

// Which positions of a text the pages of each group keep.
class KeptPositions {
public:
    // max_positions: of one text in the cache. A group whose window covers them keeps all. n_sinks: of a
    // CacheWindow (runtime/kv_cache/window.hpp), which drops pages behind them; a group whose window may
    // reach back beyond those keeps all others.
    KeptPositions(const CacheLayout& layout, int max_positions, int n_sinks);

    size_t n_groups() const { return windows_.size(); }
    bool keeps_all(size_t group) const { return windows_[group] == 0; }
    bool has_kept_group() const;
    // Whether a text can only be continued at a checkpoint.
    bool needs_checkpoints() const { return has_state_ || has_window_; }
    bool has_state() const { return has_state_; }
    // The first page that a group must have for the token at `position` and, before it, `slack` others.
    int first_page(size_t group, int position, int slack) const;
    // The first page that a group keeps of n_pages.
    int first_kept(size_t group, int n_pages) const;
    // Whether a text without dropped pages can be continued at n_tokens.
    bool covers(const Checkpoint& checkpoint, int n_tokens) const;

private:
    std::vector<int> windows_;  // by group; 0: keeps all
    bool has_state_, has_window_ = false;
};

// Bytes of the cache of one sequence with n_positions: its pages, and its states before and after a pass.
size_t sequence_bytes(const CacheLayout& layout, const KeptPositions& kept, int n_positions);

}  // namespace zp
