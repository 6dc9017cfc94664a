#include "base/memory.hpp"

#include <sys/mman.h>

#include <cstdlib>
#include <utility>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace zp {

Result<Buffer> Buffer::allocate(size_t n_bytes, Pages pages, const char* purpose) {
    Buffer buffer;
    if (n_bytes == 0) return buffer;
    void* data =
        mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data == MAP_FAILED) {
        return out_of_memory("could not allocate " + std::to_string(n_bytes / 1000000 + 1) + " MB for " +
                             purpose +
                             "; close other programs, choose a smaller model or a shorter --context");
    }
#ifdef __linux__
    // Only a hint: a kernel without huge pages ignores it.
    madvise(data, n_bytes, pages == Pages::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#else
    static_cast<void>(pages);
#endif
    buffer.data_ = data;
    buffer.size_ = n_bytes;
    return buffer;
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Buffer::~Buffer() {
    if (data_ != nullptr) munmap(data_, size_);
}

void trim_heap() {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

}  // namespace zp
