// The Python module zeropoint._native.
#include <nanobind/nanobind.h>

#include "bind/status.hpp"

namespace nb = nanobind;

namespace zp {
void bind_constants(nb::module_& m);
void bind_gguf(nb::module_& m);
void bind_sampling(nb::module_& m);
void bind_machine(nb::module_& m);
void bind_engine(nb::module_& m);
void bind_exit();
}  // namespace zp

NB_MODULE(_native, m) {
    m.doc() = "The native engine of zeropoint; use it through zeropoint.load().";
    zp::bind_status(m);
    zp::bind_constants(m);
    zp::bind_gguf(m);
    zp::bind_sampling(m);
    zp::bind_machine(m);
    zp::bind_engine(m);
    zp::bind_exit();
}
