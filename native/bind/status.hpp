// Errors of the engine as Python exceptions of the same kind (zeropoint.errors).
#pragma once

#include <nanobind/nanobind.h>

#include <string>

#include "base/status.hpp"

namespace zp {

// What a kInvalid error is about, and with that its class: a model file, or an argument of the caller.
enum class Origin { kModelFile, kArgument };

// Raises the error; the message becomes the exception's text.
[[noreturn]] void raise(const Error& error, Origin origin = Origin::kModelFile);

// Raises OutOfMemory for every std::bad_alloc that leaves a bound function. Call once per module.
void bind_status(nanobind::module_& m);

}  // namespace zp
