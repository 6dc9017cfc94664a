// How fast this machine reads memory: the ceiling of decoding, which reads every weight once a token.
#pragma once

#include "base/status.hpp"
#include "base/threads.hpp"
#include "kernels/kernels.hpp"

namespace zp {

// Bytes a second at which all threads of the pool together read a buffer far larger than the caches: the
// median of several passes.
Result<double> measure_bandwidth(ThreadPool& pool);

// The same of weights of one format that one token is multiplied with: less where working a code out takes
// longer than reading it.
Result<double> measure_weights(ThreadPool& pool, const Kernels& kernels, Format format, bool is_exact);

}  // namespace zp
