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

PagePool::PagePool(const PageLayout& layout, size_t limit_bytes)
    : layout_(layout), max_pages_(std::max<size_t>(1, limit_bytes / layout.page_bytes())) {}

Result<PageRef> PagePool::take() {
    if (is_full()) {
        return out_of_memory("the KV cache is full at " +
                             std::to_string(max_pages_ * layout_.page_bytes() / 1000000 + 1) +
                             " MB; end other answers, give a larger --cache-memory, or shorten the text");
    }
    // Small memory pages, so that resident memory grows only with the positions written.
    Result<Buffer> memory = Buffer::allocate(layout_.page_bytes(), Pages::kSmall, "the KV cache");
    if (!memory.ok()) return memory.error();
    return std::make_shared<CachePage>(*this, std::move(memory.value()));
}

void PagePool::copy(CachePage& source, int n_positions, CachePage& target) const {
    uint8_t* const from_table[] = {source.data()};
    uint8_t* const to_table[] = {target.data()};
    const CacheView from{layout_, from_table}, to{layout_, to_table};
    const std::vector<float> zeros(static_cast<size_t>(layout_.d_head), 0.0f);
    for (int layer = 0; layer < layout_.n_layers; ++layer) {
        for (int head = 0; head < layout_.n_kv_heads; ++head) {
            const HeadPage a = from.head_page(layer, head, 0), b = to.head_page(layer, head, 0);
            std::memcpy(b.keys, a.keys, layout_.key_bytes(n_positions));
            std::memcpy(b.values, a.values, layout_.value_bytes(n_positions));
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
