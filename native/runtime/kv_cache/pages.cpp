#include "runtime/kv_cache/pages.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

namespace zp {

CachePage::CachePage(PagePool& pool, Buffer memory) : pool_(pool), memory_(std::move(memory)) {
    ++pool_.n_pages_;
}

CachePage::~CachePage() { --pool_.n_pages_; }

PagePool::PagePool(const CacheLayout& layout, size_t limit_bytes)
    : layout_(layout), max_pages_(std::max<size_t>(1, limit_bytes / page_bytes())) {}

Result<PageRef> PagePool::take() {
    if (is_full()) {
        return out_of_memory("the KV cache is full at " +
                             std::to_string(max_pages_ * page_bytes() / 1000000 + 1) +
                             " MB; end other answers, give a larger --cache-memory, or shorten the text");
    }
    // Small memory pages, so that resident memory grows only with the positions written.
    Result<Buffer> memory = Buffer::allocate(page_bytes(), Pages::kSmall, "the KV cache");
    if (!memory.ok()) return memory.error();
    return std::make_shared<CachePage>(*this, std::move(memory.value()));
}

void PagePool::copy(CachePage& source, int n_positions, CachePage& target) const {
    const PageTable from_table{source.data()}, to_table{target.data()};
    const CacheView from{&layout_, &from_table}, to{&layout_, &to_table};
    std::vector<float> zeros;
    for (int layer = 0; layer < layout_.n_layers(); ++layer) {
        if (!layout_.has_pages(layer)) continue;
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
