// A file mapped read-only, that may be truncated by someone else while we read it.
// Without care that is a SIGBUS and the end of the process; here the lost pages read as zeros and the
// mapping says that it is damaged.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.hpp"

namespace zp {

class MappedFile {
public:
    // Maps a regular file that is not empty. Anything else (folder, pipe, socket, device, missing) is
    // kInvalid, a refusal by the operating system kIo; the message names the path.
    static Result<MappedFile> open(const std::string& path);

    MappedFile(MappedFile&& other) noexcept;
    MappedFile& operator=(MappedFile&& other) noexcept;
    ~MappedFile();

    std::span<const std::byte> bytes() const { return bytes_; }
    const std::string& path() const { return path_; }

    // Takes the pages of these bytes out of this process's memory, if they lie in the mapping.
    // They may be read again; the system reads them back from its cache or the disk.
    void drop_pages(const void* first, size_t n_bytes) const;

    // Copies bytes of the mapping from the file without their pages coming into this process: threads that
    // read much, and once, do not wait for each other's page tables. Bytes that are gone by now leave it
    // damaged.
    void copy(const void* first, size_t n_bytes, void* out) const;

    // True once a page could not be read: what was read since then may be zeros. Ask after reading.
    bool damaged() const;

    // kIo with one sentence if damaged, else success.
    Status intact() const;

private:
    MappedFile(std::string path, std::span<const std::byte> bytes, int slot, int descriptor)
        : path_(std::move(path)), bytes_(bytes), slot_(slot), descriptor_(descriptor) {}
    void close() noexcept;

    std::string path_;
    std::span<const std::byte> bytes_;
    int slot_ = -1;  // in the guard's table; -1: moved from
    int descriptor_ = -1;
};

}  // namespace zp
