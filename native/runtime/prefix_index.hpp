// Which pages hold the keys and values of which tokens: a tree whose edges are the tokens of one page, so
// that texts that start alike share the pages of their start. (A radix tree over pages, as in Zheng et al.,
// "SGLang: efficient execution of structured language model programs", 2024, section 3.)
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "runtime/pages.hpp"

namespace zp {

class PrefixIndex {
public:
    struct Match {
        int n_tokens = 0;  // of the prompt, from its start, that `pages` hold; the last page may hold more
        std::vector<PageRef> pages;
    };

    // The longest start of `tokens` that is held. A page at the end that holds nothing but tokens of this
    // text leaves the index, so that it can be written on without being copied.
    Match find(std::span<const int32_t> tokens);
    // Holds the pages of `tokens`. Where the index has a page of the same tokens already, it takes the place
    // of the caller's: both hold the same numbers, so one of them can go.
    void keep(std::span<const int32_t> tokens, std::vector<PageRef>& pages);
    // Lets the page go that was not used for longest and that only the index holds. False if there is none.
    bool evict_oldest();
    // Pages that only the index holds: as many as evict_oldest() can free.
    size_t n_idle() const;

private:
    struct Node {
        std::vector<int32_t> tokens;  // of its page: kChunk, or fewer in a leaf
        PageRef page;
        uint64_t last_used = 0;
        std::vector<std::unique_ptr<Node>> children;
    };
    using Children = std::vector<std::unique_ptr<Node>>;

    static int common(const Node& node, std::span<const int32_t> tokens);
    static std::pair<Children*, size_t> oldest_leaf(Children& children);
    static size_t n_idle(const Children& children);

    Children roots_;
    uint64_t clock_ = 0;
};

}  // namespace zp
