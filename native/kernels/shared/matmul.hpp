// Matrix products of one weight format on one set of lanes. The table of kernels needs only these
// declarations; the translation unit of each format (matmul_unit.cpp.in) instantiates matmul_float.hpp and
// matmul_int8.hpp.
#pragma once

#include "kernels/matmul.hpp"

namespace zp::shared {

template <class L, Format format>
void matmul_float(const MatmulFloat& job);

template <class L, Format format>
void matmul_int8(const MatmulInt8& job);

}  // namespace zp::shared
