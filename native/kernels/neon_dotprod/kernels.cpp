// Table, float operations and attention for neon_dotprod; the matrix products are units per format
// (matmul_unit.cpp.in). Do not use inline functions of the standard library in files that are compiled for a
// wider instruction set: the linker might pick this copy for the whole program, and an older processor would
// hit an illegal instruction.
#include "kernels/neon_dotprod/lanes.hpp"
#include "kernels/shared/table.hpp"

namespace zp::neon_dotprod {

extern const Kernels kTable;
const Kernels kTable = shared::make_table<Lanes>("neon_dotprod");

}  // namespace zp::neon_dotprod
