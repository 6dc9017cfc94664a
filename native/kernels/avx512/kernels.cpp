// The kernels of the shared templates, compiled for avx512 alone. Nothing from the standard library that is
// inline may be used here: the linker could pick this copy for the whole program, and an older processor
// would meet an instruction it lacks.
#include "kernels/avx512/lanes.hpp"
#include "kernels/shared/table.hpp"

namespace zp::avx512 {

extern const Kernels kTable;
const Kernels kTable = shared::make_table<Lanes>("avx512");

}  // namespace zp::avx512
