#include "runtime/kv_cache/prefix_index.hpp"

#include <algorithm>
#include <utility>

namespace zp {

int PrefixIndex::common_length(const Node& node, std::span<const int32_t> tokens) {
    const auto ends = std::mismatch(node.tokens.begin(), node.tokens.end(), tokens.begin(), tokens.end());
    return static_cast<int>(ends.first - node.tokens.begin());
}

PrefixIndex::Match PrefixIndex::find(std::span<const int32_t> tokens) {
    Match match;
    Children* children = &roots_;
    while (match.n_tokens < static_cast<int>(tokens.size())) {
        const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(match.n_tokens));
        const auto best = std::max_element(
            children->begin(), children->end(),
            [&](const auto& a, const auto& b) { return common_length(*a, rest) < common_length(*b, rest); });
        if (best == children->end()) break;
        const int n = common_length(**best, rest);
        if (n == 0) break;
        (*best)->last_used = ++clock_;
        match.n_tokens += n;
        match.pages.push_back((*best)->page);
        if (n < kChunk) {
            if (n == static_cast<int>((*best)->tokens.size())) children->erase(best);
            break;
        }
        children = &(*best)->children;
    }
    return match;
}

void PrefixIndex::insert(std::span<const int32_t> tokens, std::vector<PageRef>& pages) {
    Children* children = &roots_;
    for (PageRef& page : pages) {
        const std::span<const int32_t> own = tokens.first(std::min<size_t>(kChunk, tokens.size()));
        tokens = tokens.subspan(own.size());
        const auto existing = std::find_if(children->begin(), children->end(), [&](const auto& node) {
            return common_length(*node, own) == static_cast<int>(own.size());
        });
        if (existing != children->end()) {
            (*existing)->last_used = ++clock_;
            page = (*existing)->page;
            children = &(*existing)->children;
            continue;
        }
        // A page whose tokens are a prefix of these is redundant now.
        std::erase_if(*children, [&](const auto& node) {
            return common_length(*node, own) == static_cast<int>(node->tokens.size());
        });
        auto node = std::make_unique<Node>();
        node->tokens.assign(own.begin(), own.end());
        node->page = page;
        node->last_used = ++clock_;
        children->push_back(std::move(node));
        children = &children->back()->children;
    }
}

std::pair<PrefixIndex::Children*, size_t> PrefixIndex::oldest_leaf(Children& children) {
    std::pair<Children*, size_t> oldest{nullptr, 0};
    const auto consider = [&](Children* in, size_t at) {
        if (oldest.first == nullptr || (*in)[at]->last_used < (*oldest.first)[oldest.second]->last_used)
            oldest = {in, at};
    };
    for (size_t i = 0; i < children.size(); ++i) {
        Node& node = *children[i];
        if (node.children.empty() && node.page.use_count() == 1) consider(&children, i);
        if (const auto below = oldest_leaf(node.children); below.first != nullptr)
            consider(below.first, below.second);
    }
    return oldest;
}

bool PrefixIndex::evict_oldest() {
    const auto [children, at] = oldest_leaf(roots_);
    if (children == nullptr) return false;
    children->erase(children->begin() + static_cast<std::ptrdiff_t>(at));
    return true;
}

size_t PrefixIndex::n_idle(const Children& children) {
    size_t n = 0;
    for (const auto& node : children) n += (node->page.use_count() == 1) + n_idle(node->children);
    return n;
}

size_t PrefixIndex::n_idle() const { return n_idle(roots_); }

}  // namespace zp
