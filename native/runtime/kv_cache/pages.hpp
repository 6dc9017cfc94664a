// Pages of the KV cache: allocated one at a time as sequences grow, shared by sequences with a common prefix,
// and limited to a number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/memory.hpp"
#include "kernels/kernels.hpp"
#include "ops/cache_view.hpp"

namespace zp {

class PagePool;

// kChunk positions of the cache. Destroying it returns its memory to the operating system.
class CachePage {
public:
    CachePage(PagePool& pool, Buffer memory);
    CachePage(const CachePage&) = delete;
    ~CachePage();

    uint8_t* data() { return static_cast<uint8_t*>(memory_.data()); }

private:
    PagePool& pool_;
    Buffer memory_;
};

// A reference to a page; copying it shares the page. Only a page with a single reference may be written.
using PageRef = std::shared_ptr<CachePage>;

class PagePool {
public:
    PagePool(const CacheLayout& layout, size_t limit_bytes);
    PagePool(const PagePool&) = delete;

    // A zeroed page. kMemory if the pool or the machine is full.
    Result<PageRef> take();
    // Copies the first `n_positions` of a page to another.
    void copy(CachePage& source, int n_positions, CachePage& target) const;

    const CacheLayout& layout() const { return layout_; }
    size_t page_bytes() const { return layout_.groups().front().page_bytes; }
    size_t n_pages() const { return n_pages_; }  // in use
    size_t max_pages() const { return max_pages_; }
    bool is_full() const { return n_pages_ >= max_pages_; }

private:
    friend class CachePage;
    CacheLayout layout_;
    size_t max_pages_;
    size_t n_pages_ = 0;
};

// Number of pages for n_positions.
inline int pages_for(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace zp
