#include "runtime/sampling/row.hpp"

#include <bit>
#include <cstring>
#include <limits>

namespace zp {
namespace {

// Scans read a block of four vectors at once, with vector extensions that GCC and clang lower on any target.
typedef float Floats __attribute__((vector_size(16)));
typedef int32_t Mask __attribute__((vector_size(16)));
typedef uint64_t Halves __attribute__((vector_size(16)));
constexpr size_t kWidth = 4, kVectors = 4, kBlock = kWidth * kVectors;
constexpr float kExcluded = -std::numeric_limits<float>::infinity();

inline Floats load(const float* from) {
    Floats lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

inline Floats all(float value) { return Floats{value, value, value, value}; }

inline bool any(Mask mask) {
    const Halves halves = reinterpret_cast<Halves>(mask);
    return (halves[0] | halves[1]) != 0;
}

inline bool any_equal(const float* block, float value) {
    const Floats values = all(value);
    return any((load(block) == values) | (load(block + 4) == values) | (load(block + 8) == values) |
               (load(block + 12) == values));
}

inline bool any_reaches(const float* block, float bound) {
    const Floats low = all(bound);
    return any((load(block) >= low) | (load(block + 4) >= low) | (load(block + 8) >= low) |
               (load(block + 12) >= low));
}

// exp(x) for x in [-kLogitRange, 0], within two units in the last place: x = k ln 2 + r with |r| <= ln(2)/2,
// and a Taylor series for exp(r) whose first omitted term r^13/13! is below 2e-16. Written out so that
// sampling is identical on every machine and the loop around it vectorizes.
[[gnu::always_inline]] inline double exp_of(double x) {
    constexpr double kLog2E = 1.4426950408889634;
    constexpr double kLn2High = 0x1.62e42feep-1, kLn2Low = 0x1.a39ef35793c76p-33;  // Cody and Waite 1980
    constexpr double kRound = 0x1.8p52;  // adding it leaves the nearest integer in the low bits
    const double shifted = x * kLog2E + kRound;
    const double k = shifted - kRound;
    const double r = (x - k * kLn2High) - k * kLn2Low;
    double series = 1.0 / 479001600;  // 1/12!
    series = series * r + 1.0 / 39916800;
    series = series * r + 1.0 / 3628800;
    series = series * r + 1.0 / 362880;
    series = series * r + 1.0 / 40320;
    series = series * r + 1.0 / 5040;
    series = series * r + 1.0 / 720;
    series = series * r + 1.0 / 120;
    series = series * r + 1.0 / 24;
    series = series * r + 1.0 / 6;
    series = series * r + 0.5;
    series = series * r + 1.0;
    series = series * r + 1.0;
    const double scale = std::bit_cast<double>((std::bit_cast<uint64_t>(shifted) + 1023) << 52);  // 2^k
    return series * scale;
}

[[gnu::always_inline]] inline void exp_differences(const float* logits, double best, double* weights,
                                                   size_t n) {
    for (size_t i = 0; i < n; ++i) weights[i] = exp_of(logits[i] - best);
}

#if defined(__x86_64__)
// The same operations, four at a time: identical bits in half the time.
[[gnu::target("avx2")]] void exp_differences_avx2(const float* logits, double best, double* weights,
                                                  size_t n) {
    exp_differences(logits, best, weights, n);
}
#endif

}  // namespace

bool max_logit(std::span<const float> logits_V, float& top) {
    const size_t n_in_blocks = logits_V.size() / kBlock * kBlock;
    Floats best[kVectors] = {all(kExcluded), all(kExcluded), all(kExcluded), all(kExcluded)};
    Mask nan = {};
    for (size_t v = 0; v < n_in_blocks; v += kBlock) {
        for (size_t i = 0; i < kVectors; ++i) {
            const Floats x = load(&logits_V[v + i * kWidth]);
            best[i] = x > best[i] ? x : best[i];
            nan |= x != x;
        }
    }
    bool has_nan = any(nan);
    top = kExcluded;
    for (const Floats& lanes : best) {
        for (size_t lane = 0; lane < kWidth; ++lane) top = lanes[lane] > top ? lanes[lane] : top;
    }
    for (float x : logits_V.subspan(n_in_blocks)) {
        top = x > top ? x : top;
        has_nan |= x != x;
    }
    return !has_nan;
}

size_t first_equal(std::span<const float> logits_V, float value) {
    size_t v = 0;
    while (v + kBlock <= logits_V.size() && !any_equal(&logits_V[v], value)) v += kBlock;
    while (v < logits_V.size() && logits_V[v] != value) ++v;
    return v;
}

void keep_top(std::span<float> logits_V, float bound, size_t n_equal) {
    const size_t n_vocab = logits_V.size();
    for (size_t v = 0; v < n_vocab; v += kBlock) {
        const size_t end = v + kBlock < n_vocab ? v + kBlock : n_vocab;
        if (end - v == kBlock && !any_equal(&logits_V[v], bound)) {
            for (size_t lane = 0; lane < kBlock; ++lane) {
                float& x = logits_V[v + lane];
                x = x > bound ? x : kExcluded;
            }
            continue;
        }
        for (size_t at = v; at < end; ++at) {
            float& x = logits_V[at];
            const bool is_kept_tie = x == bound && n_equal > 0;
            n_equal -= is_kept_tie;
            if (x <= bound && !is_kept_tie) x = kExcluded;
        }
    }
}

void softmax_weights(std::span<const float> logits_V, float top, Scratch& scratch) {
    const size_t n_vocab = logits_V.size();
    if (scratch.ids.size() < n_vocab) {
        scratch.ids.resize(n_vocab);
        scratch.logits.resize(n_vocab);
        scratch.weights.resize(n_vocab);
    }
    const float bound = top - kLogitRange;
    size_t n = 0;
    for (size_t v = 0; v < n_vocab; v += kBlock) {
        const size_t end = v + kBlock < n_vocab ? v + kBlock : n_vocab;
        if (end - v == kBlock && !any_reaches(&logits_V[v], bound)) continue;
        for (size_t at = v; at < end; ++at) {
            scratch.ids[n] = static_cast<int32_t>(at);
            scratch.logits[n] = logits_V[at];
            n += logits_V[at] >= bound;
        }
    }
    scratch.n_candidates = n;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) {
        exp_differences_avx2(scratch.logits.data(), top, scratch.weights.data(), n);
        return;
    }
#endif
    exp_differences(scratch.logits.data(), top, scratch.weights.data(), n);
}

double sum(std::span<const double> values) {
    constexpr size_t kChains = 8;
    double partial[kChains] = {};
    const size_t n_in_chains = values.size() / kChains * kChains;
    for (size_t i = 0; i < n_in_chains; i += kChains) {
        for (size_t chain = 0; chain < kChains; ++chain) partial[chain] += values[i + chain];
    }
    for (size_t i = n_in_chains; i < values.size(); ++i) partial[0] += values[i];
    return ((partial[0] + partial[1]) + (partial[2] + partial[3])) +
           ((partial[4] + partial[5]) + (partial[6] + partial[7]));
}

}  // namespace zp
