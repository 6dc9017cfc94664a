// Releases the GIL around native work, in a process that may end meanwhile.
//
// While the interpreter shuts down, Python ends a daemon thread that asks for the GIL by unwinding its stack,
// and a stack with C++ frames aborts the process. Therefore an atexit function (bind_exit) cancels all native
// work and waits until every thread is back in Python. A thread that takes longer never returns.
#pragma once

#include <nanobind/nanobind.h>

#include <memory>

#include "base/load_gate.hpp"

namespace zp {

// Whether the interpreter is ending and the calling thread must stop its work. Needs no GIL.
bool must_stop_for_exit();

// Marks native work of the calling thread that may release the GIL. Create and destroy it with the GIL held.
// Raises SystemExit, which ends a thread without a message, if the interpreter is ending.
class NativeWork {
public:
    NativeWork();
    ~NativeWork();
    NativeWork(const NativeWork&) = delete;
    NativeWork& operator=(const NativeWork&) = delete;
};

// Releases the GIL for its lifetime. The destructor does not return if the interpreter no longer waits.
class GilRelease {
public:
    GilRelease() : state_(PyEval_SaveThread()) {}
    ~GilRelease();
    GilRelease(const GilRelease&) = delete;
    GilRelease& operator=(const GilRelease&) = delete;

private:
    NativeWork work_;  // constructed first, destroyed last
    PyThreadState* state_;
};

// Runs Python's pending signal handlers; true if one raised. Call it while a GilRelease exists.
bool run_signal_handlers();

// Abandons a load when the interpreter ends. Create and destroy it with the GIL held.
class AbandonedAtExit {
public:
    explicit AbandonedAtExit(std::shared_ptr<LoadGate> gate);
    ~AbandonedAtExit();
    AbandonedAtExit(const AbandonedAtExit&) = delete;
    AbandonedAtExit& operator=(const AbandonedAtExit&) = delete;

private:
    std::shared_ptr<LoadGate> gate_;
};

}  // namespace zp
