// File mappings: what they reject, and that truncation while mapped is an error instead of a signal.
#include "base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "check.hpp"

using namespace zp;

namespace {

// A temporary folder.
struct Folder {
    std::string path;
    Folder() {
        char name[] = "/tmp/zp_file_test_XXXXXX";
        path = mkdtemp(name);
    }
    ~Folder() {
        for (const char* file : {"/a", "/b", "/pipe", "/socket", "/link"}) unlink((path + file).c_str());
        rmdir(path.c_str());
    }
    std::string write(const char* name, size_t n_bytes) const {
        std::string file = path + name;
        FILE* out = std::fopen(file.c_str(), "wb");
        for (size_t i = 0; i < n_bytes; ++i) std::fputc(static_cast<int>('a' + i % 26), out);
        std::fclose(out);
        return file;
    }
};

std::string error_of(const std::string& path) {
    auto file = MappedFile::open(path);
    return file.ok() ? "opened" : file.error().message;
}

bool has(const std::string& text, const char* word) { return text.find(word) != std::string::npos; }

struct sigaction current_handler() {
    struct sigaction action = {};
    sigaction(SIGBUS, nullptr, &action);
    return action;
}

constexpr size_t kPage = 4096;

volatile sig_atomic_t g_seen = 0;
void note_signal(int) { g_seen = g_seen + 1; }

// Runs `work` in a child process; returns its exit code, or minus the signal that ended it.
int in_child(int (*work)()) {
    pid_t pid = fork();
    if (pid == 0) _exit(work());
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

ZP_TEST(file_maps_a_regular_file) {
    Folder folder;
    auto file = MappedFile::open(folder.write("/a", 100));
    ZP_CHECK(file.ok());
    ZP_EQ(file.value().bytes().size(), size_t{100});
    ZP_EQ(static_cast<char>(file.value().bytes()[27]), 'b');
    ZP_CHECK(!file.value().damaged() && file.value().intact().ok());
}

ZP_TEST(file_rejects_everything_else) {
    Folder folder;
    ZP_CHECK(has(error_of(folder.path), "is a folder; it must be a regular file"));
    ZP_CHECK(has(error_of("/dev/zero"), "/dev/zero is a device"));
    ZP_CHECK(has(error_of("/dev/random"), "is a device"));
    ZP_CHECK(has(error_of(folder.path + "/none"), "cannot open "));
    ZP_CHECK(has(error_of(folder.write("/a", 0)), "is empty"));
    mkfifo((folder.path + "/pipe").c_str(), 0600);
    ZP_CHECK(has(error_of(folder.path + "/pipe"), "is a pipe"));
    ZP_EQ(symlink("/none/such", (folder.path + "/link").c_str()), 0);
    ZP_CHECK(has(error_of(folder.path + "/link"), "No such file"));
    ZP_CHECK(has(error_of(folder.path + std::string("/a\0b", 4)), "NUL"));
    ZP_CHECK(has(error_of(folder.path + "/\x1b[1m"), "/\\u{1b}[1m"));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder.path.c_str());
    ZP_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ZP_CHECK(has(error_of(folder.path + "/socket"), "socket"));
    close(fd);
}

ZP_TEST(file_truncated_while_mapped_reads_zeros_and_is_damaged) {
    Folder folder;
    std::string a = folder.write("/a", 5 * kPage), b = folder.write("/b", kPage);
    auto file = MappedFile::open(a), other = MappedFile::open(b);
    ZP_CHECK(file.ok() && other.ok());
    ZP_EQ(truncate(a.c_str(), kPage), 0);
    const std::byte* data = file.value().bytes().data();
    ZP_EQ(static_cast<char>(data[1]), 'b');
    ZP_CHECK(!file.value().damaged());
    for (size_t at : {kPage, 3 * kPage + 17, 5 * kPage - 1}) ZP_EQ(static_cast<int>(data[at]), 0);
    ZP_CHECK(file.value().damaged() && !other.value().damaged());
    Status status = file.value().intact();
    ZP_CHECK(!status.ok() && status.error().fault == Fault::kIo);
    ZP_CHECK(has(status.error().message, "changed or was truncated while it was being read; fetch it again"));
}

ZP_TEST(file_copy_detects_truncation) {
    Folder folder;
    std::string path = folder.write("/a", 3 * kPage);
    auto file = MappedFile::open(path);
    const std::byte* data = file.value().bytes().data();
    std::vector<std::byte> out(2 * kPage, std::byte{1});
    file.value().copy(data + 7, out.size(), out.data());
    ZP_CHECK(std::equal(out.begin(), out.end(), data + 7));
    ZP_EQ(truncate(path.c_str(), kPage), 0);
    file.value().copy(data, kPage, out.data());
    ZP_CHECK(!file.value().damaged());
    file.value().copy(data, kPage + 1, out.data());
    ZP_CHECK(file.value().damaged());
}

ZP_TEST(file_damage_does_not_outlive_the_mapping) {
    Folder folder;
    std::string path = folder.write("/a", 2 * kPage);
    {
        auto file = MappedFile::open(path);
        ZP_EQ(truncate(path.c_str(), 1), 0);
        ZP_EQ(static_cast<int>(file.value().bytes()[kPage]), 0);
        ZP_CHECK(file.value().damaged());
    }
    ZP_CHECK(!MappedFile::open(path).value().damaged());
}

ZP_TEST(file_can_be_moved_and_restores_the_signal_handler) {
    Folder folder;
    std::string path = folder.write("/a", 3 * kPage);
    auto before = current_handler();
    {
        MappedFile moved = std::move(MappedFile::open(path).value());
        ZP_CHECK(current_handler().sa_sigaction != before.sa_sigaction);
        MappedFile again = std::move(MappedFile::open(path).value());
        again = std::move(moved);
        ZP_EQ(again.bytes().size(), 3 * kPage);
        ZP_CHECK(moved.bytes().empty() && !moved.damaged());
        ZP_EQ(truncate(path.c_str(), 1), 0);
        ZP_EQ(static_cast<int>(again.bytes()[kPage]), 0);
        ZP_CHECK(again.damaged());
    }
    ZP_CHECK(current_handler().sa_sigaction == before.sa_sigaction);
}

ZP_TEST(file_forwards_other_faults) {
    ZP_EQ(in_child([] {
              struct sigaction note = {};
              note.sa_handler = note_signal;
              sigaction(SIGBUS, &note, nullptr);
              Folder folder;
              auto file = MappedFile::open(folder.write("/a", kPage));
              raise(SIGBUS);
              return g_seen == 1 && !file.value().damaged() ? 0 : 1;
          }),
          0);
    // Without a previous handler, a fault outside our mappings ends the process.
    ZP_EQ(in_child([] {
              signal(SIGBUS, SIG_DFL);
              int fd = -1;
              Result<MappedFile> file = io_error("");
              {
                  Folder folder;  // removed here, because the signal runs no destructors
                  fd = open(folder.write("/b", 2 * kPage).c_str(), O_RDWR);
                  file = MappedFile::open(folder.write("/a", kPage));
              }
              auto* foreign =
                  static_cast<volatile char*>(mmap(nullptr, 2 * kPage, PROT_READ, MAP_SHARED, fd, 0));
              if (!file.ok() || ftruncate(fd, 1) != 0) return 2;
              return foreign[kPage] + 1;
          }),
          -SIGBUS);
}
