// Measures memory bandwidth: the ceiling of decoding speed, since decoding reads every weight once per token.
#pragma once

#include "base/status.hpp"
#include "base/threads.hpp"
#include "kernels/kernels.hpp"

namespace zp {

// Bytes per second, sampled for half a second, because the speed of a shared processor fluctuates.
struct Rate {
    double bytes_s = 0;  // median
    double low = 0;      // first quartile
    double high = 0;     // third quartile
};

// Rate at which all threads of the pool together read a buffer far larger than the caches.
Result<Rate> measure_bandwidth(ThreadPool& pool);

// Rate at which the matmul kernel of one token reads weights of a format: lower than the bandwidth where
// decoding the weights takes longer than reading them.
Result<Rate> measure_weights(ThreadPool& pool, const Kernels& kernels, Format format, bool is_exact);

}  // namespace zp
