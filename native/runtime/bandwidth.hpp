// How fast this machine reads memory: the ceiling of decoding, which reads every weight once a token.
#pragma once

#include "base/status.hpp"
#include "base/threads.hpp"

namespace zp {

// Bytes a second at which all threads of the pool together read a buffer far larger than the caches: the
// median of several passes.
Result<double> measure_bandwidth(ThreadPool& pool);

}  // namespace zp
