#include "runtime/kv_cache/prefix_index.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace zp {

bool PrefixIndex::Node::is_idle() const {
    return std::all_of(pages.begin(), pages.end(),
                       [](const BlockRef& page) { return page == nullptr || page.use_count() == 1; });
}

int PrefixIndex::common_length(const Node& node, std::span<const int32_t> tokens) {
    const auto ends = std::mismatch(node.tokens.begin(), node.tokens.end(), tokens.begin(), tokens.end());
    return static_cast<int>(ends.first - node.tokens.begin());
}

PrefixIndex::Children::iterator PrefixIndex::longest_common(Children& children,
                                                            std::span<const int32_t> tokens) {
    return std::max_element(children.begin(), children.end(), [&](const auto& a, const auto& b) {
        return common_length(*a, tokens) < common_length(*b, tokens);
    });
}

PrefixIndex::Match PrefixIndex::find(std::span<const int32_t> tokens) {
    Match match;
    match.pages.resize(kept_.n_groups());
    const int n_wanted = static_cast<int>(tokens.size());
    int n_matched = 0;
    DatedCheckpoint* checkpoint = nullptr;
    Node* last = nullptr;
    for (Children* children = &roots_; n_matched < n_wanted; children = &last->children) {
        const std::span<const int32_t> rest = tokens.subspan(static_cast<size_t>(n_matched));
        const auto best = longest_common(*children, rest);
        const int n = best == children->end() ? 0 : common_length(**best, rest);
        if (n == 0) break;
        last = best->get();
        last->last_used = ++clock_;
        n_matched += n;
        for (size_t g = 0; g < match.pages.size(); ++g)
            if (kept_.keeps_all(g)) match.pages[g].push_back(last->pages[g]);
        for (DatedCheckpoint& own : last->checkpoints) {
            if (own.checkpoint->n_tokens > n_matched || own.checkpoint->n_tokens <= match.n_tokens) continue;
            checkpoint = &own;
            match.n_tokens = own.checkpoint->n_tokens;
        }
        if (n == kChunk) continue;
        if (n == static_cast<int>(last->tokens.size()) && !kept_.needs_checkpoints()) {
            children->erase(best);
            last = nullptr;
        }
        break;
    }
    if (!kept_.needs_checkpoints()) {
        match.n_tokens = n_matched;
        return match;
    }
    // A later checkpoint may reach back far enough.
    if (DatedCheckpoint* later = last == nullptr ? nullptr : covering(*last, n_matched); later != nullptr) {
        checkpoint = later;
        match.n_tokens = n_matched;
    }
    for (std::vector<BlockRef>& pages : match.pages)
        pages.resize(std::min(pages.size(), static_cast<size_t>(pages_for(match.n_tokens))));
    if (checkpoint == nullptr) return match;
    checkpoint->last_used = ++clock_;
    match.checkpoint = checkpoint->checkpoint;
    return match;
}

PrefixIndex::DatedCheckpoint* PrefixIndex::covering(Node& node, int n_tokens) const {
    for (DatedCheckpoint& own : node.checkpoints)
        if (kept_.covers(*own.checkpoint, n_tokens)) return &own;
    for (const auto& child : node.children)
        if (DatedCheckpoint* found = covering(*child, n_tokens); found != nullptr) return found;
    return nullptr;
}

void PrefixIndex::insert(std::span<const int32_t> tokens, GroupPages& pages) {
    Children* children = &roots_;
    for (size_t p = 0; !tokens.empty(); ++p) {
        const std::span<const int32_t> own = tokens.first(std::min<size_t>(kChunk, tokens.size()));
        tokens = tokens.subspan(own.size());
        const auto existing = std::find_if(children->begin(), children->end(), [&](const auto& node) {
            return common_length(*node, own) == static_cast<int>(own.size());
        });
        if (existing != children->end()) {
            (*existing)->last_used = ++clock_;
            for (size_t g = 0; g < pages.size(); ++g)
                if (kept_.keeps_all(g)) pages[g][p] = (*existing)->pages[g];
            children = &(*existing)->children;
            continue;
        }
        auto node = std::make_unique<Node>();
        // A page whose tokens are a prefix of these is redundant now, except for its checkpoints.
        std::erase_if(*children, [&](const auto& shorter) {
            if (common_length(*shorter, own) < static_cast<int>(shorter->tokens.size())) return false;
            std::move(shorter->checkpoints.begin(), shorter->checkpoints.end(),
                      std::back_inserter(node->checkpoints));
            return true;
        });
        node->tokens.assign(own.begin(), own.end());
        node->pages.resize(kept_.n_groups());
        for (size_t g = 0; g < pages.size(); ++g)
            if (kept_.keeps_all(g)) node->pages[g] = pages[g][p];
        node->last_used = ++clock_;
        children->push_back(std::move(node));
        children = &children->back()->children;
    }
}

PrefixIndex::Node* PrefixIndex::node_at(std::span<const int32_t> tokens) {
    Node* node = nullptr;
    for (Children* children = &roots_; !tokens.empty(); children = &node->children) {
        const auto best = longest_common(*children, tokens);
        const size_t n = best == children->end() ? 0 : static_cast<size_t>(common_length(**best, tokens));
        if (n == 0 || (n < tokens.size() && n < (*best)->tokens.size())) return nullptr;
        node = best->get();
        tokens = tokens.subspan(n);
    }
    return node;
}

bool PrefixIndex::add_checkpoint(std::span<const int32_t> tokens, CheckpointRef checkpoint) {
    Node* node = node_at(tokens);
    if (node == nullptr) return false;
    for (DatedCheckpoint& own : node->checkpoints)
        if (own.checkpoint->n_tokens == checkpoint->n_tokens) return false;
    node->checkpoints.push_back({std::move(checkpoint), ++clock_});
    return true;
}

void PrefixIndex::remove_checkpoint(std::span<const int32_t> tokens) {
    if (Node* node = node_at(tokens); node != nullptr)
        std::erase_if(node->checkpoints, [&](const DatedCheckpoint& own) {
            return own.checkpoint->n_tokens == static_cast<int>(tokens.size());
        });
    if (!kept_.has_kept_group()) prune(roots_);
}

void PrefixIndex::find_oldest(Children& children, Candidate& oldest) {
    for (size_t i = 0; i < children.size(); ++i) {
        Node& node = *children[i];
        if (node.children.empty() && node.is_idle() && node.last_used < oldest.last_used)
            oldest = {&children, i, Candidate::kWhole, node.last_used};
        for (size_t c = 0; c < node.checkpoints.size(); ++c)
            if (node.checkpoints[c].last_used < oldest.last_used)
                oldest = {&children, i, c, node.checkpoints[c].last_used};
        find_oldest(node.children, oldest);
    }
}

// Removes the nodes without pages that lead to no checkpoint.
void PrefixIndex::prune(Children& children) {
    std::erase_if(children, [](const auto& node) {
        prune(node->children);
        return node->children.empty() && node->checkpoints.empty();
    });
}

bool PrefixIndex::evict_oldest() {
    Candidate oldest;
    find_oldest(roots_, oldest);
    if (oldest.in == nullptr) return false;
    const auto at = [](size_t i) { return static_cast<std::ptrdiff_t>(i); };
    if (oldest.checkpoint == Candidate::kWhole) {
        oldest.in->erase(oldest.in->begin() + at(oldest.at));
    } else {
        auto& checkpoints = (*oldest.in)[oldest.at]->checkpoints;
        checkpoints.erase(checkpoints.begin() + at(oldest.checkpoint));
    }
    if (!kept_.has_kept_group()) prune(roots_);
    return true;
}

void PrefixIndex::count(const Children& children, References& references) {
    for (const auto& node : children) {
        for (const BlockRef& page : node->pages)
            if (page != nullptr) ++references[page];
        for (const auto& [checkpoint, last_used] : node->checkpoints) {
            for (const std::vector<BlockRef>& pages : checkpoint->windows)
                for (const BlockRef& page : pages) ++references[page];
            if (checkpoint->state != nullptr) ++references[checkpoint->state];
        }
        count(node->children, references);
    }
}

size_t PrefixIndex::idle_bytes() const {
    References references;
    count(roots_, references);
    size_t n_bytes = 0;
    for (const auto& [block, n] : references)
        if (block.use_count() == n + 1) n_bytes += block->n_bytes();
    return n_bytes;
}

}  // namespace zp
