// Sixteen lanes in one AVX-512 register.
#pragma once

#include "kernels/x86/avx512_lanes.hpp"

namespace zp::avx512 {

struct Lanes : x86::Avx512Lanes<Lanes> {};

}  // namespace zp::avx512
