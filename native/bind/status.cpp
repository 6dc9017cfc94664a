#include "bind/status.hpp"

#include <exception>
#include <new>

#include "bind/gil.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

const char* class_of(Fault fault, Origin origin) {
    switch (fault) {
        case Fault::kInvalid:
            return origin == Origin::kArgument ? "BadInput" : "BadModelFile";
        case Fault::kContextFull:
            return "ContextFull";
        case Fault::kIo:
            return "DiskError";
        case Fault::kMemory:
            return "OutOfMemory";
        case Fault::kNumeric:
            return "MachineError";
        case Fault::kCancelled:
            break;
    }
    return nullptr;
}

void set_error(const char* class_name, const char* message) {
    nb::object type = nb::module_::import_("zeropoint.errors").attr(class_name);
    PyErr_SetString(type.ptr(), message);
}

}  // namespace

void raise(const Error& error, Origin origin) {
    if (const char* name = class_of(error.fault, origin))
        set_error(name, error.message.c_str());
    else
        PyErr_SetNone(must_stop_for_exit() ? PyExc_SystemExit : PyExc_KeyboardInterrupt);
    throw nb::python_error();
}

void bind_status(nb::module_&) {
    nb::register_exception_translator([](const std::exception_ptr& thrown, void*) {
        try {
            std::rethrow_exception(thrown);
        } catch (const std::bad_alloc&) {
            set_error("OutOfMemory",
                      "not enough free memory; close other programs, or use a smaller model or context");
        }
    });
}

}  // namespace zp
