// Finds cached pages by their tokens (prefix caching): a radix tree in which each edge is the tokens of one
// page, so that texts with a common prefix share its pages (Zheng et al., "SGLang: efficient execution of
// structured language model programs", 2024, section 3). If some layers have windows or states, a text can
// only be continued where a checkpoint has what they need.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/kv_cache/checkpoint.hpp"
#include "runtime/kv_cache/pages.hpp"

namespace zp {

class PrefixIndex {
public:
    struct Match {
        int n_tokens = 0;          // length of the prefix that can be continued
        GroupPages pages;          // of the groups that keep all positions; the last may hold more positions
        CheckpointRef checkpoint;  // of the other groups and the states; null if the index needs none
    };

    explicit PrefixIndex(const KeptPositions& kept) : kept_(kept) {}

    // The longest cached prefix of `tokens`. Without checkpoints, if the whole last page matches and is
    // partly filled, it leaves the index, so that the caller can append to it without copying it.
    Match find(std::span<const int32_t> tokens);
    // Adds the pages of `tokens`. Where the index already has a page of the same tokens, replaces the
    // caller's page with it: both hold the same numbers, so one copy can be freed.
    void insert(std::span<const int32_t> tokens, GroupPages& pages);
    // Adds a checkpoint at the end of `tokens`, which must be in the index. False if there is one already.
    bool add_checkpoint(std::span<const int32_t> tokens, CheckpointRef checkpoint);
    void remove_checkpoint(std::span<const int32_t> tokens);
    // Evicts the least recently used checkpoint, or page that only the index refers to. False if there is
    // none.
    bool evict_oldest();
    // Bytes of the blocks that only the index refers to: what evict_oldest() can free.
    size_t idle_bytes() const;

private:
    struct DatedCheckpoint {
        CheckpointRef checkpoint;
        uint64_t last_used;
    };
    struct Node {
        std::vector<int32_t> tokens;               // of its page: kChunk, or fewer in a leaf
        std::vector<BlockRef> pages;               // by group; null for those that do not keep all positions
        std::vector<DatedCheckpoint> checkpoints;  // after some of its tokens
        uint64_t last_used = 0;
        std::vector<std::unique_ptr<Node>> children;

        bool is_idle() const;
    };
    using Children = std::vector<std::unique_ptr<Node>>;
    // What to evict: a node, or one of its checkpoints only.
    struct Candidate {
        static constexpr size_t kWhole = SIZE_MAX;

        Children* in = nullptr;
        size_t at = 0;
        size_t checkpoint = kWhole;
        uint64_t last_used = UINT64_MAX;
    };
    using References = std::unordered_map<BlockRef, long>;  // of the index to each block

    static int common_length(const Node& node, std::span<const int32_t> tokens);
    static Children::iterator longest_common(Children& children, std::span<const int32_t> tokens);
    static void find_oldest(Children& children, Candidate& oldest);
    static void prune(Children& children);
    static void count(const Children& children, References& references);
    Node* node_at(std::span<const int32_t> tokens);
    DatedCheckpoint* covering(Node& node, int n_tokens) const;

    KeptPositions kept_;
    Children roots_;
    uint64_t clock_ = 0;
};

}  // namespace zp
