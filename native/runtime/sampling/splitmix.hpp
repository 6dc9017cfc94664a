// Counter-based random numbers: splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number
// generators", 2014, figure 17). A function of (seed, position) alone, so that an answer does not depend on
// threads, other requests in the batch or earlier draws. sampling/draw.py implements the same function.
#pragma once

#include <cstdint>

namespace zp {

// Output number `position` (from 0) of the generator seeded with `seed`.
inline uint64_t splitmix64(uint64_t seed, uint64_t position) {
    uint64_t z = seed + (position + 1) * 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

// A uniform number in [0, 1) with 53 random bits.
inline double uniform(uint64_t seed, uint64_t position) {
    return static_cast<double>(splitmix64(seed, position) >> 11) * 0x1p-53;
}

}  // namespace zp
