// The kernels of the shared templates, compiled for neon_dotprod alone. Nothing from the standard library
// that is inline may be used here: the linker could pick this copy for the whole program, and an older
// processor would meet an instruction it lacks.
#include "kernels/neon_dotprod/lanes.hpp"
#include "kernels/shared/table.hpp"

namespace zp::neon_dotprod {

extern const Kernels kTable;
const Kernels kTable = shared::make_table<Lanes>("neon_dotprod");

}  // namespace zp::neon_dotprod
