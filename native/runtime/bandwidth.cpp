#include "runtime/bandwidth.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/memory.hpp"
#include "base/prefetch.hpp"

namespace zp {

namespace {

constexpr size_t kBytes = size_t{256} << 20;  // several times the largest last-level cache share
constexpr int kPasses = 7;

// Eight sums, so that the additions do not wait for each other and the loads are the limit; asked for ahead
// as the kernels do, or these could pass the ceiling.
uint64_t read_all(const uint64_t* words, size_t n) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 8 <= n; i += 8) {
        fetch_ahead<64>(words + i);
        for (size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    uint64_t total = 0;
    for (const uint64_t s : sums) total += s;
    return total;
}

}  // namespace

Result<double> measure_bandwidth(ThreadPool& pool) {
    Result<Buffer> buffer = Buffer::allocate(kBytes, Pages::kHuge, "measuring the memory's speed");
    if (!buffer.ok()) return buffer.error();
    auto* bytes = static_cast<uint8_t*>(buffer.value().data());
    pool.set_size(pool.most());
    const auto part = [&](int thread) {
        return kBytes / 4096 * static_cast<size_t>(thread) / static_cast<size_t>(pool.size()) * 4096;
    };
    pool.run([&](int thread) { std::memset(bytes + part(thread), 1, part(thread + 1) - part(thread)); });
    std::atomic<uint64_t> checksum{0};
    std::vector<double> seconds;
    for (int pass = 0; pass < kPasses; ++pass) {
        const auto start = std::chrono::steady_clock::now();
        pool.run([&](int thread) {
            const auto* words = reinterpret_cast<const uint64_t*>(bytes + part(thread));
            checksum += read_all(words, (part(thread + 1) - part(thread)) / sizeof(uint64_t));
        });
        seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    if (checksum == 0) return Error{Fault::kNumeric, "the memory test read nothing"};
    std::nth_element(seconds.begin(), seconds.begin() + kPasses / 2, seconds.end());
    return static_cast<double>(kBytes) / seconds[kPasses / 2];
}

}  // namespace zp
