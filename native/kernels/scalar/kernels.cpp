// Table, float operations and attention in plain C++; the matrix products are units per format
// (matmul_unit.cpp.in).
#include "kernels/scalar/lanes.hpp"
#include "kernels/shared/table.hpp"

namespace zp::scalar {

extern const Kernels kTable;
const Kernels kTable = shared::make_table<Lanes>("scalar");

}  // namespace zp::scalar
