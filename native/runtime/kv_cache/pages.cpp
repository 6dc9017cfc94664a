#include "runtime/kv_cache/pages.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace zp {

CacheBlock::CacheBlock(PagePool& pool, Buffer memory, size_t n_bytes)
    : pool_(pool), memory_(std::move(memory)), n_bytes_(n_bytes) {
    pool_.used_bytes_ += n_bytes_;
}

CacheBlock::~CacheBlock() { pool_.used_bytes_ -= n_bytes_; }

PagePool::PagePool(const CacheLayout& layout, size_t limit_bytes) : layout_(layout) {
    size_t min_bytes = 2 * state_bytes();  // of a sequence of one token
    for (size_t g = 0; g < n_groups(); ++g) min_bytes += page_bytes(g);
    max_bytes_ = std::max(min_bytes, limit_bytes);
}

Result<BlockRef> PagePool::take(size_t n_bytes) {
    if (!has_room(n_bytes)) {
        return out_of_memory("the KV cache is full at " + std::to_string(max_bytes_ / 1000000 + 1) +
                             " MB; end other answers, give a larger --cache-memory, or shorten the text");
    }
    // Small memory pages, so that resident memory grows only with the positions written.
    Result<Buffer> memory = Buffer::allocate(n_bytes, Pages::kSmall, "the KV cache");
    if (!memory.ok()) return memory.error();
    return std::make_shared<CacheBlock>(*this, std::move(memory.value()), n_bytes);
}

void PagePool::copy(size_t group, CacheBlock& source, int n_positions, CacheBlock& target) const {
    std::vector<PageTable> from_tables(n_groups()), to_tables(n_groups());
    from_tables[group] = {source.data()};
    to_tables[group] = {target.data()};
    const CacheView from{&layout_, from_tables.data()}, to{&layout_, to_tables.data()};
    std::vector<float> zeros;
    for (const int layer : layout_.layers_of(static_cast<int>(group))) {
        const CacheLayout::Place& at = layout_.place(layer);
        zeros.assign(static_cast<size_t>(at.head.d_head), 0.0f);
        for (int head = 0; head < at.n_kv_heads; ++head) {
            const HeadPage a = from.head_page(layer, head, 0), b = to.head_page(layer, head, 0);
            std::memcpy(b.keys, a.keys, at.head.key_bytes(n_positions));
            std::memcpy(b.values, a.values, at.head.value_bytes(n_positions));
            if (a.key_scales != nullptr) {
                std::memcpy(b.key_scales, a.key_scales, static_cast<size_t>(n_positions) * sizeof(float));
                std::memcpy(b.value_scales, a.value_scales, static_cast<size_t>(n_positions) * sizeof(float));
            }
            // Whole tiles and pairs were copied: clear the positions after n_positions, which may belong to
            // another text.
            for (int s = n_positions; s < kChunk && s % kPairTile != 0; ++s) {
                write_key(to, layer, head, s, zeros.data());
                write_value(to, layer, head, s, zeros.data());
            }
        }
    }
}

}  // namespace zp
