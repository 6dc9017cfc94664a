// Converts errors of the engine to the Python exceptions of zeropoint.errors.
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "base/status.hpp"

namespace zp {

// The source of a kInvalid error, which decides its class: BadModelFile or BadInput.
enum class Origin { kModelFile, kArgument };

// Raises the error as a Python exception with the same message.
[[noreturn]] void raise(const Error& error, Origin origin = Origin::kModelFile);

// Translates every std::bad_alloc that leaves a bound function to OutOfMemory. Call once per module.
void bind_status(nanobind::module_& m);

}  // namespace zp
