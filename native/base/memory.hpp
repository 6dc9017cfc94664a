// Large blocks of memory from the operating system: zeroed, page-aligned, with an error value instead of an
// exception if the allocation fails.
#pragma once

#include <cstddef>

#include "base/status.hpp"

namespace zp {

enum class Pages {
    kHuge,  // for memory that is read often and completely (weights): fewer TLB misses
    kSmall  // for memory that is touched piecemeal (KV cache): only written pages become resident
};

class Buffer {
public:
    Buffer() = default;
    // `purpose` completes the sentence "could not allocate N MB for ...".
    static Result<Buffer> allocate(size_t n_bytes, Pages pages, const char* purpose);
    Buffer(Buffer&& other) noexcept;
    Buffer& operator=(Buffer&& other) noexcept;
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    ~Buffer();

    void* data() { return data_; }
    const void* data() const { return data_; }
    size_t size() const { return size_; }

private:
    void* data_ = nullptr;
    size_t size_ = 0;
};

// Returns freed heap memory to the system, as far as the allocator allows. Call it before a large allocation.
void trim_heap();

}  // namespace zp
