// Blocks of cache memory: pages of keys and values, and recurrent states. Allocated one at a time as
// sequences grow, shared by sequences with a common prefix, and limited to a number of bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/memory.hpp"
#include "kernels/kernels.hpp"
#include "ops/cache_view.hpp"

namespace zp {

class PagePool;

// One page of a page group, or the recurrent states of all layers. Destroying it returns its memory to the
// operating system.
class CacheBlock {
public:
    CacheBlock(PagePool& pool, Buffer memory, size_t n_bytes);
    CacheBlock(const CacheBlock&) = delete;
    ~CacheBlock();

    uint8_t* data() { return static_cast<uint8_t*>(memory_.data()); }
    float* floats() { return static_cast<float*>(memory_.data()); }
    size_t n_bytes() const { return n_bytes_; }

private:
    PagePool& pool_;
    Buffer memory_;
    size_t n_bytes_;
};

// A reference to a block; copying it shares the block. Only a block with a single reference may be written.
using BlockRef = std::shared_ptr<CacheBlock>;

// Pages by group and index.
using GroupPages = std::vector<std::vector<BlockRef>>;

class PagePool {
public:
    PagePool(const CacheLayout& layout, size_t limit_bytes);
    PagePool(const PagePool&) = delete;

    // A zeroed page of a group, or zeroed states. kMemory if the pool or the machine is full.
    Result<BlockRef> take_page(size_t group) { return take(page_bytes(group)); }
    Result<BlockRef> take_state() { return take(state_bytes()); }
    // Copies the first `n_positions` of a page of a group to another.
    void copy(size_t group, CacheBlock& source, int n_positions, CacheBlock& target) const;

    const CacheLayout& layout() const { return layout_; }
    size_t n_groups() const { return layout_.groups().size(); }
    size_t page_bytes(size_t group) const { return layout_.groups()[group].page_bytes; }
    size_t state_bytes() const { return layout_.n_state_floats() * sizeof(float); }
    size_t used_bytes() const { return used_bytes_; }
    size_t max_bytes() const { return max_bytes_; }
    bool has_room(size_t n_bytes) const { return used_bytes_ + n_bytes <= max_bytes_; }

private:
    friend class CacheBlock;
    Result<BlockRef> take(size_t n_bytes);

    CacheLayout layout_;
    size_t max_bytes_;
    size_t used_bytes_ = 0;
};

// Number of pages for n_positions.
inline int pages_for(int n_positions) { return (n_positions + kChunk - 1) / kChunk; }

}  // namespace zp
