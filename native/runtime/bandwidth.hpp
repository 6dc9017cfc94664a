// How fast this machine reads memory: the ceiling of decoding, which reads every weight once a token.
#pragma once

#include "base/status.hpp"
#include "base/threads.hpp"
#include "kernels/kernels.hpp"

namespace zp {

// Bytes a second, measured again and again for half a second: processors that others share change their speed
// from one moment to the next.
struct Rate {
    double bytes_s = 0;  // the median
    double low = 0;      // a quarter of what was measured was not faster,
    double high = 0;     // and a quarter not slower
};

// At which all threads of the pool together read a buffer far larger than the caches.
Result<Rate> measure_bandwidth(ThreadPool& pool);

// The same of weights of one format that one token is multiplied with: less where working a code out takes
// longer than reading it.
Result<Rate> measure_weights(ThreadPool& pool, const Kernels& kernels, Format format, bool is_exact);

}  // namespace zp
