// mmap and the SIGBUS guard: a fixed table of mapped ranges that a signal handler can read at any time.
// The handler only calls mmap, sigaction and raise, which are plain system calls on Linux.
#include "base/file.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/text.hpp"

namespace zp {
namespace {

constexpr int kMaxMappings = 1024;  // more than the shards of any model

struct Mapping {
    std::atomic<uintptr_t> begin{0};
    std::atomic<uintptr_t> end{0};  // 0: the slot is free
    std::atomic<bool> damaged{false};
};
static_assert(std::atomic<uintptr_t>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// The only mutable global state of this module: a signal handler takes no arguments of ours.
Mapping g_mappings[kMaxMappings];
std::mutex g_mutex;  // guards changes to g_mappings and the state below, not the handler's reads
int g_n_open = 0;
struct sigaction g_previous;
std::atomic<pthread_t> g_chaining_thread{};
std::atomic<uintptr_t> g_page_bytes{4096};

void die_by(int signal) {
    struct sigaction plain = {};
    plain.sa_handler = SIG_DFL;
    sigaction(signal, &plain, nullptr);
    raise(signal);  // takes effect when the handler returns
}

// Forwards a fault outside our mappings to the previous handler. A handler that was installed after ours and
// chains back to us would loop forever: on the second visit, take the default action and end the process.
void chain(int signal, siginfo_t* info, void* context) {
    pthread_t self = pthread_self();
    if (g_chaining_thread.load() == self) return die_by(signal);
    bool was_sent = info->si_code <= 0;  // by kill(), not by a memory access
    if (!(g_previous.sa_flags & SA_SIGINFO)) {
        if (g_previous.sa_handler == SIG_IGN && was_sent) return;
        if (g_previous.sa_handler == SIG_DFL || g_previous.sa_handler == SIG_IGN) return die_by(signal);
    }
    g_chaining_thread.store(self);
    if (g_previous.sa_flags & SA_SIGINFO)
        g_previous.sa_sigaction(signal, info, context);
    else
        g_previous.sa_handler(signal);
    g_chaining_thread.store({});
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
    int saved_errno = errno;
    auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    uintptr_t page = g_page_bytes.load();
    for (Mapping& m : g_mappings) {
        if (info->si_code <= 0 || address < m.begin.load() || address >= m.end.load()) continue;
        void* start = reinterpret_cast<void*>(address / page * page);
        void* zeros = mmap(start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (zeros == MAP_FAILED) break;
        m.damaged.store(true);
        errno = saved_errno;
        return;
    }
    chain(signal, info, context);
    errno = saved_errno;
}

bool guard_is_installed() {
    struct sigaction current = {};
    sigaction(SIGBUS, nullptr, &current);
    return (current.sa_flags & SA_SIGINFO) && current.sa_sigaction == on_bus_error;
}

void install_guard() {
    if (guard_is_installed()) return;
    struct sigaction guard = {};
    guard.sa_sigaction = on_bus_error;
    guard.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&guard.sa_mask);
    sigaction(SIGBUS, nullptr, &g_previous);
    sigaction(SIGBUS, &guard, nullptr);
}

// Registers a range; returns its slot, or -1 if the table is full.
int guard_range(const void* data, size_t n_bytes) {
    std::lock_guard lock(g_mutex);
    for (int slot = 0; slot < kMaxMappings; ++slot) {
        Mapping& m = g_mappings[slot];
        if (m.end.load() != 0) continue;
        g_page_bytes.store(static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)));
        m.damaged.store(false);
        m.begin.store(reinterpret_cast<uintptr_t>(data));
        m.end.store(m.begin.load() + n_bytes);
        ++g_n_open;
        install_guard();
        return slot;
    }
    return -1;
}

void unguard_range(int slot) {
    std::lock_guard lock(g_mutex);
    g_mappings[slot].end.store(0);
    // Do not remove a handler that was installed after ours; leaving ours below it is harmless.
    if (--g_n_open == 0 && guard_is_installed()) sigaction(SIGBUS, &g_previous, nullptr);
}

const char* kind_of(mode_t mode) {
    if (S_ISDIR(mode)) return "a folder";
    if (S_ISFIFO(mode)) return "a pipe";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

Error cannot_open(const std::string& shown, int code) {
    if (code == ENXIO) return invalid(shown + " is a socket or a device; it must be a regular file");
    std::string message = "cannot open " + shown + ": " + std::strerror(code);
    bool is_ours = code == EMFILE || code == ENFILE || code == ENOMEM || code == EIO;
    return is_ours ? io_error(std::move(message)) : invalid(std::move(message));
}

struct Descriptor {
    int fd;
    ~Descriptor() {
        if (fd >= 0) ::close(fd);
    }
    int keep() { return std::exchange(fd, -1); }
};

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
    std::string shown = printable(path, 4096);
    if (path.find('\0') != std::string::npos) return invalid("the path " + shown + " contains a NUL byte");
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) return cannot_open(shown, errno);
    Descriptor closer{fd};
    struct stat st = {};
    if (fstat(fd, &st) != 0) return io_error("cannot read " + shown + ": " + std::strerror(errno));
    if (!S_ISREG(st.st_mode))
        return invalid(shown + " is " + kind_of(st.st_mode) + "; it must be a regular file");
    if (st.st_size <= 0) return invalid(shown + " is empty; fetch it again");
    auto n_bytes = static_cast<size_t>(st.st_size);
    void* data = mmap(nullptr, n_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED && errno == ENOMEM)
        return out_of_memory("not enough address space to map the " + std::to_string(n_bytes) + " bytes of " +
                             shown);
    if (data == MAP_FAILED) return io_error("cannot map " + shown + ": " + std::strerror(errno));
    int slot = guard_range(data, n_bytes);
    if (slot < 0) {
        munmap(data, n_bytes);
        return io_error("cannot map " + shown + ": " + std::to_string(kMaxMappings) +
                        " files are mapped already");
    }
    return MappedFile(path, {static_cast<const std::byte*>(data), n_bytes}, slot, closer.keep());
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_(std::exchange(other.bytes_, {})),
      slot_(std::exchange(other.slot_, -1)),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
    if (this == &other) return *this;
    close();
    path_ = std::move(other.path_);
    bytes_ = std::exchange(other.bytes_, {});
    slot_ = std::exchange(other.slot_, -1);
    descriptor_ = std::exchange(other.descriptor_, -1);
    return *this;
}

MappedFile::~MappedFile() { close(); }

void MappedFile::close() noexcept {
    if (slot_ < 0) return;
    unguard_range(slot_);
    munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
    ::close(descriptor_);
    bytes_ = {};
    slot_ = descriptor_ = -1;
}

void MappedFile::drop_pages(const void* first, size_t n_bytes) const {
    // A page fault maps up to 2 MiB of cached pages around the page, so drop those too; a thread that still
    // reads there gets them back at once.
    constexpr uintptr_t kAround = 1 << 21;
    const auto mapping = reinterpret_cast<uintptr_t>(bytes_.data());
    const auto target = reinterpret_cast<uintptr_t>(first);
    const uintptr_t begin = std::max(target / kAround * kAround, mapping);
    const uintptr_t end = std::min(target + n_bytes + kAround, mapping + bytes_.size());
    if (target < mapping || begin >= end) return;
    madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void MappedFile::copy(const void* first, size_t n_bytes, void* out) const {
    auto at = static_cast<off_t>(static_cast<const std::byte*>(first) - bytes_.data());
    for (auto* to = static_cast<std::byte*>(out); n_bytes > 0;) {
        const ssize_t n = pread(descriptor_, to, n_bytes, at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return g_mappings[slot_].damaged.store(true);
        to += n;
        at += n;
        n_bytes -= static_cast<size_t>(n);
    }
}

bool MappedFile::damaged() const { return slot_ >= 0 && g_mappings[slot_].damaged.load(); }

Status MappedFile::intact() const {
    if (!damaged()) return {};
    return Error{Fault::kIo, printable(path_, 4096) +
                                 " changed or was truncated while it was being read; fetch it again"};
}

}  // namespace zp
