// Large blocks of memory straight from the operating system: zeroed, aligned to a page, and an error
// value instead of an exception where there is none.
#pragma once

#include <cstddef>

#include "base/status.hpp"

namespace zp {

enum class Pages {
    kHuge,  // read often and whole (weights): fewer address translations
    kSmall  // touched a little at a time (cache): memory is used only where written
};

class Buffer {
public:
    Buffer() = default;
    // `purpose` completes the sentence "could not get N MB for ...".
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

// Gives memory that was freed back to the system, as far as the allocator lets it: worth a call before
// something large is taken.
void trim_heap();

}  // namespace zp
