// Finds cached pages by their tokens (prefix caching): a radix tree in which each edge is the tokens of one
// page, so that texts with a common prefix share its pages (Zheng et al., "SGLang: efficient execution of
// structured language model programs", 2024, section 3).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/kv_cache/pages.hpp"

namespace zp {

class PrefixIndex {
public:
    struct Match {
        int n_tokens = 0;  // length of the prefix that `pages` hold; the last page may hold more positions
        std::vector<PageRef> pages;
    };

    // The longest cached prefix of `tokens`. If the whole last page matches and is partly filled, it leaves
    // the index, so that the caller can append to it without copying it.
    Match find(std::span<const int32_t> tokens);
    // Adds the pages of `tokens`. Where the index already has a page of the same tokens, replaces the
    // caller's page with it: both hold the same numbers, so one copy can be freed.
    void insert(std::span<const int32_t> tokens, std::vector<PageRef>& pages);
    // Evicts the least recently used page that only the index refers to. False if there is none.
    bool evict_oldest();
    // Pages that only the index refers to: the number that evict_oldest() can free.
    size_t n_idle() const;

private:
    struct Node {
        std::vector<int32_t> tokens;  // of its page: kChunk, or fewer in a leaf
        PageRef page;
        uint64_t last_used = 0;
        std::vector<std::unique_ptr<Node>> children;
    };
    using Children = std::vector<std::unique_ptr<Node>>;

    static int common_length(const Node& node, std::span<const int32_t> tokens);
    static std::pair<Children*, size_t> oldest_leaf(Children& children);
    static size_t n_idle(const Children& children);

    Children roots_;
    uint64_t clock_ = 0;
};

}  // namespace zp
