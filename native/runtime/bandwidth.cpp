#include "runtime/bandwidth.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/memory.hpp"
#include "base/prefetch.hpp"
#include "ops/matmul.hpp"

namespace zp {

namespace {

constexpr size_t kBytes = size_t{256} << 20;  // several times the largest last-level cache share
constexpr size_t kWeightBytes = size_t{128} << 20;
constexpr int kCols = 2048;  // of the weights: whole blocks of every format
constexpr int kPasses = 7;

// Where the part of a thread begins: at a whole page.
size_t part_of(size_t n_bytes, const ThreadPool& pool, int thread) {
    if (thread == pool.size()) return n_bytes;
    return n_bytes / 4096 * static_cast<size_t>(thread) / static_cast<size_t>(pool.size()) * 4096;
}

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

// Bytes a second of `pass`, which goes through n_bytes: the median of kPasses.
template <class Pass>
double rate_of(size_t n_bytes, const Pass& pass) {
    std::vector<double> seconds;
    for (int i = 0; i < kPasses; ++i) {
        const auto start = std::chrono::steady_clock::now();
        pass();
        seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + kPasses / 2, seconds.end());
    return static_cast<double>(n_bytes) / seconds[kPasses / 2];
}

// Ones, written by the threads that will read them.
Result<Buffer> ones(ThreadPool& pool, size_t n_bytes) {
    Result<Buffer> buffer = Buffer::allocate(n_bytes, Pages::kHuge, "measuring the memory's speed");
    if (!buffer.ok()) return buffer;
    auto* bytes = static_cast<uint8_t*>(buffer.value().data());
    pool.run([&](int thread) {
        const size_t begin = part_of(n_bytes, pool, thread), end = part_of(n_bytes, pool, thread + 1);
        std::memset(bytes + begin, 1, end - begin);
    });
    return buffer;
}

}  // namespace

Result<double> measure_bandwidth(ThreadPool& pool) {
    pool.set_size(pool.most());
    Result<Buffer> buffer = ones(pool, kBytes);
    if (!buffer.ok()) return buffer.error();
    const auto* bytes = static_cast<const uint8_t*>(buffer.value().data());
    std::atomic<uint64_t> checksum{0};
    const double rate = rate_of(kBytes, [&] {
        pool.run([&](int thread) {
            const size_t begin = part_of(kBytes, pool, thread), end = part_of(kBytes, pool, thread + 1);
            checksum +=
                read_all(reinterpret_cast<const uint64_t*>(bytes + begin), (end - begin) / sizeof(uint64_t));
        });
    });
    if (checksum == 0) return Error{Fault::kNumeric, "the memory test read nothing"};
    return rate;
}

Result<double> measure_weights(ThreadPool& pool, const Kernels& kernels, Format format, bool is_exact) {
    pool.set_size(pool.most());
    const size_t group_bytes = packed_group_bytes(format, kCols);
    const int n_groups = static_cast<int>(kWeightBytes / group_bytes);
    const size_t n_bytes = group_bytes * static_cast<size_t>(n_groups);
    Result<Buffer> buffer = ones(pool, n_bytes);
    if (!buffer.ok()) return buffer.error();
    const Linear linear{
        {format, n_groups * kGroupRows, kCols, static_cast<const uint8_t*>(buffer.value().data())}, nullptr};
    const std::vector<float> x(kCols, 1.0f);
    std::vector<QuantBlock> blocks(kCols / kBlockCols);
    kernels.quantize(x.data(), kCols, blocks.data());
    std::vector<float> y(static_cast<size_t>(linear.matrix.rows));
    const double rate = rate_of(n_bytes, [&] {
        pool.run([&](int thread) {
            const Share share = share_of(n_groups, thread, pool.size());
            multiply(kernels, is_exact, {&linear, y.data(), y.size()}, {x.data(), kCols, blocks.data(), 1}, 1,
                     share.begin, share.end);
        });
    });
    return rate;
}

}  // namespace zp
