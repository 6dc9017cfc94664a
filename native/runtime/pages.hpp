// The pages that keys and values live in: taken one at a time as a sequence grows, shared by sequences that
// start alike, and never more of them than fit a number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/memory.hpp"
#include "kernels/kernels.hpp"
#include "ops/cache_view.hpp"

namespace zp {

class PagePool;

// kChunk positions of a cache. Its memory is the operating system's again when the last holder lets go.
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

// One of those that hold a page; copying it shares the page. A page with one holder may be written.
using PageRef = std::shared_ptr<CachePage>;

class PagePool {
public:
    PagePool(const PageLayout& layout, size_t limit_bytes);
    PagePool(const PagePool&) = delete;

    // A page of zeros. kMemory where the pool is full, or the machine is.
    Result<PageRef> take();
    // Writes the first `n_positions` of a page to another.
    void copy(CachePage& source, int n_positions, CachePage& target) const;

    const PageLayout& layout() const { return layout_; }
    size_t n_pages() const { return n_pages_; }  // taken
    size_t most_pages() const { return most_pages_; }
    bool is_full() const { return n_pages_ >= most_pages_; }

private:
    friend class CachePage;
    PageLayout layout_;
    size_t most_pages_;
    size_t n_pages_ = 0;
};

// Pages that hold so many positions.
inline int pages_for(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace zp
