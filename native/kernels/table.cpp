// Selects a kernel table: instruction sets in this build that this machine supports.
#include <cstring>

#include "base/cpu.hpp"
#include "kernels/kernels.hpp"

namespace zp {

namespace scalar {
extern const Kernels kTable;
}
#ifdef ZP_X86
namespace avx2 {
extern const Kernels kTable;
}
namespace avx512 {
extern const Kernels kTable;
}
#endif
#ifdef ZP_ARM64
namespace neon {
extern const Kernels kTable;
}
namespace neon_dotprod {
extern const Kernels kTable;
}
#endif

const Kernels* kernels_for(const char* isa) {
    if (std::strcmp(isa, "scalar") == 0) return &scalar::kTable;
#ifdef ZP_X86
    if (std::strcmp(isa, "avx2") == 0 && cpu().has_avx2) return &avx2::kTable;
    if (std::strcmp(isa, "avx512") == 0 && cpu().has_avx512_vnni) return &avx512::kTable;
#endif
#ifdef ZP_ARM64
    if (std::strcmp(isa, "neon") == 0) return &neon::kTable;
    if (std::strcmp(isa, "neon_dotprod") == 0 && cpu().has_dotprod) return &neon_dotprod::kTable;
#endif
    return nullptr;
}

const Kernels& best_kernels() {
    for (const char* isa : kInstructionSets)
        if (const Kernels* k = kernels_for(isa)) return *k;
    return scalar::kTable;
}

}  // namespace zp
