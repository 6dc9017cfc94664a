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
constexpr int kCols = 2048;  // of the weight matrix: divisible by the block length of every format
constexpr size_t kPage = 4096;
constexpr int kPrefetchBytes = 1536;               // as many cache lines as a core can have in flight
constexpr double kSampleS = 0.025, kTotalS = 0.5;  // duration of one sample, and of all of them

// Eight independent sums, so that loads rather than dependent additions are the limit. Prefetches, because
// some processors read faster with it; otherwise kernels could exceed this ceiling.
uint64_t read_all(const uint64_t* words, size_t n) {
    uint64_t sums[8] = {};
    for (size_t i = 0; i + 8 <= n; i += 8) {
        prefetch_ahead<64, kPrefetchBytes>(words + i);
        for (size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
    }
    uint64_t total = 0;
    for (const uint64_t s : sums) total += s;
    return total;
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The rate of `pass`, which reads n_bytes.
template <class Pass>
Rate rate_of(size_t n_bytes, const Pass& pass) {
    std::vector<double> rates;
    pass();
    for (const auto start = std::chrono::steady_clock::now(); seconds_since(start) < kTotalS;) {
        const auto sample = std::chrono::steady_clock::now();
        size_t n_passes = 0;
        for (; n_passes == 0 || seconds_since(sample) < kSampleS; ++n_passes) pass();
        rates.push_back(static_cast<double>(n_bytes * n_passes) / seconds_since(sample));
    }
    std::sort(rates.begin(), rates.end());
    const size_t n = rates.size();
    return {rates[n / 2], rates[n / 4], rates[n - 1 - n / 4]};
}

// A buffer of ones, first touched by the threads that will read it.
Result<Buffer> ones(ThreadPool& pool, size_t n_bytes) {
    Result<Buffer> buffer = Buffer::allocate(n_bytes, Pages::kHuge, "measuring memory bandwidth");
    if (!buffer.ok()) return buffer;
    auto* bytes = static_cast<uint8_t*>(buffer.value().data());
    pool.run([&](int thread) {
        const Range pages =
            thread_range(static_cast<int>((n_bytes + kPage - 1) / kPage), thread, pool.size());
        const size_t begin = kPage * static_cast<size_t>(pages.begin);
        std::memset(bytes + begin, 1, std::min(n_bytes, kPage * static_cast<size_t>(pages.end)) - begin);
    });
    return buffer;
}

// Dynamic scheduling, as the engine does: a slow processor does not delay the others.
template <class Work>
void parallel_for(ThreadPool& pool, int n, const Work& work) {
    pool.run([&](int thread) { pool.parallel_for(n, thread, work); });
}

}  // namespace

Result<Rate> measure_bandwidth(ThreadPool& pool) {
    pool.set_size(pool.max_threads());
    Result<Buffer> buffer = ones(pool, kBytes);
    if (!buffer.ok()) return buffer.error();
    const auto* bytes = static_cast<const uint8_t*>(buffer.value().data());
    std::atomic<uint64_t> checksum{0};
    const Rate rate = rate_of(kBytes, [&] {
        parallel_for(pool, static_cast<int>(kBytes / kPage), [&](int begin, int end) {
            checksum +=
                read_all(reinterpret_cast<const uint64_t*>(bytes + kPage * static_cast<size_t>(begin)),
                         kPage / sizeof(uint64_t) * static_cast<size_t>(end - begin));
        });
    });
    if (checksum == 0) return Error{Fault::kNumeric, "the bandwidth measurement read nothing"};
    return rate;
}

Result<Rate> measure_weights(ThreadPool& pool, const Kernels& kernels, Format format, bool is_exact) {
    pool.set_size(pool.max_threads());
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
    return rate_of(n_bytes, [&] {
        parallel_for(pool, n_groups, [&](int begin, int end) {
            multiply(kernels, is_exact, {&linear, y.data(), y.size()}, {x.data(), kCols, blocks.data(), 1}, 1,
                     begin, end);
        });
    });
}

}  // namespace zp
