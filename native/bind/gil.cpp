#include "bind/gil.hpp"

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <set>
#include <thread>

namespace nb = nanobind;

namespace zp {
namespace {

constexpr auto kMaxWait = std::chrono::seconds(10);

std::atomic<bool> is_exiting{false};
std::atomic<bool> has_stopped_waiting{false};
std::atomic<std::thread::id> exiting_thread{};  // it runs the exit, and may still use the engine
std::atomic<int> n_working{0};                  // threads with a NativeWork
std::atomic<int> n_taking_gil{0};

// Guarded by the GIL.
std::set<LoadGate*>& load_gates() {
    static auto* gates = new std::set<LoadGate*>;  // never destroyed: threads may outlive static variables
    return *gates;
}

bool is_another_thread() { return std::this_thread::get_id() != exiting_thread.load(); }

[[noreturn]] void sleep_forever() {
    for (;;) pause();
}

// Counts a thread that takes the GIL, so that the exit continues only when it has it.
class TakingGil {
public:
    TakingGil() {
        ++n_taking_gil;
        if (has_stopped_waiting && is_another_thread()) {
            --n_taking_gil;
            sleep_forever();
        }
    }
    ~TakingGil() { --n_taking_gil; }
};

void wait_for_threads() {
    exiting_thread = std::this_thread::get_id();
    is_exiting = true;
    for (LoadGate* gate : load_gates()) gate->abandon();
    // Python never frees what the remaining threads refer to.
    if (PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get())) != nullptr)
        nb::set_leak_warnings(false);
    PyThreadState* state = PyEval_SaveThread();
    const auto end = std::chrono::steady_clock::now() + kMaxWait;
    const auto wait_while = [](auto&& condition) {
        while (condition()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    };
    wait_while([&] { return n_working > 0 && std::chrono::steady_clock::now() < end; });
    has_stopped_waiting = true;
    wait_while([] { return n_taking_gil > 0; });
    PyEval_RestoreThread(state);
}

}  // namespace

bool must_stop_for_exit() { return is_exiting.load(std::memory_order_relaxed) && is_another_thread(); }

NativeWork::NativeWork() {
    if (must_stop_for_exit()) {
        PyErr_SetNone(PyExc_SystemExit);
        throw nb::python_error();
    }
    ++n_working;
}

NativeWork::~NativeWork() { --n_working; }

GilRelease::~GilRelease() {
    const TakingGil taking;
    PyEval_RestoreThread(state_);
}

bool run_signal_handlers() {
    const TakingGil taking;
    nb::gil_scoped_acquire acquired;
    return PyErr_CheckSignals() != 0;
}

AbandonedAtExit::AbandonedAtExit(std::shared_ptr<LoadGate> gate) : gate_(std::move(gate)) {
    load_gates().insert(gate_.get());
}

AbandonedAtExit::~AbandonedAtExit() { load_gates().erase(gate_.get()); }

void bind_exit() {
    // A child process has only the thread that forked.
    pthread_atfork(nullptr, nullptr, [] { n_working = n_taking_gil = 0; });
    nb::module_::import_("atexit").attr("register")(nb::cpp_function(&wait_for_threads));
}

}  // namespace zp
