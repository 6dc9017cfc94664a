// A read-only file mapping that survives truncation of the file by another process. Normally the next access
// would raise SIGBUS and end the process; here lost pages read as zeros and the mapping is marked as damaged.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.hpp"

namespace zp {

class MappedFile {
public:
    // Maps a non-empty regular file. Anything else (folder, pipe, socket, device, missing file) is kInvalid;
    // a failure of the operating system is kIo. The message names the path.
    static Result<MappedFile> open(const std::string& path);

    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    ~MappedFile();

    std::span<const std::byte> bytes() const { return bytes_; }
    const std::string& path() const { return path_; }

    // Drops the pages of these bytes from the process's resident memory, if they are part of the mapping.
    // They can be read again; the system reloads them from its page cache or the disk.
    void drop_pages(const void* first, size_t n_bytes) const;

    // Copies bytes of the mapping by reading the file, without mapping their pages: threads that read large
    // ranges once do not contend for the page tables. Bytes that no longer exist mark the mapping as damaged.
    void copy(const void* first, size_t n_bytes, void* out) const;

    // True once a page could not be read; data read since then may be zeros. Check after reading.
    bool damaged() const;

    // kIo if the mapping is damaged, else success.
    Status intact() const;

private:
    MappedFile(std::string path, std::span<const std::byte> bytes, int slot, int descriptor)
        : path_(std::move(path)), bytes_(bytes), slot_(slot), descriptor_(descriptor) {}
    void close() noexcept;

    std::string path_;
    std::span<const std::byte> bytes_;
    int slot_ = -1;  // index in the SIGBUS guard's table; -1: moved from
    int descriptor_ = -1;
};

}  // namespace zp
