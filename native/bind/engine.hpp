// The Python objects Engine and Sequence, and the lock that admits one thread at a time.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "bind/status.hpp"
#include "runtime/engine.hpp"

namespace zp {

[[noreturn]] inline void fail(const Error& error) {
    if (error.fault == Fault::kCancelled && PyErr_Occurred() != nullptr) throw nanobind::python_error();
    raise(error, Origin::kArgument);
}

// The Python Engine. It admits one thread at a time; a second one gets an error instead of waiting for
// minutes.
struct PyEngine {
    explicit PyEngine(std::unique_ptr<Engine> opened) : engine(std::move(opened)) {}

    std::unique_ptr<Engine> engine;
    std::mutex mutex;
    std::atomic<std::thread::id> user{};  // the thread that holds the mutex
    // Sequences that Python closed or collected, possibly while another thread was inside. The next thread to
    // enter frees them.
    std::mutex dropped_mutex;
    std::vector<Sequence*> dropped;
};

// Holds the lock of an engine while one of its methods runs.
class InUse {
public:
    explicit InUse(PyEngine& owner) : lock_(owner.mutex, std::try_to_lock) {
        if (!lock_.owns_lock())
            raise(invalid("another thread is using this model; use it from one thread at a time, or load it "
                          "once per thread"),
                  Origin::kArgument);
        if (owner.engine == nullptr) raise(invalid("this model is closed; load it again"), Origin::kArgument);
        user_ = &owner.user;
        *user_ = std::this_thread::get_id();
        const std::lock_guard<std::mutex> dropping(owner.dropped_mutex);
        for (Sequence* sequence : std::exchange(owner.dropped, {})) owner.engine->close_sequence(sequence);
    }
    ~InUse() { *user_ = std::thread::id(); }

private:
    std::unique_lock<std::mutex> lock_;
    std::atomic<std::thread::id>* user_;
};

// The Python Sequence. Frees its pages when it is closed or garbage collected.
class PySequence {
public:
    PySequence(PyEngine* engine, Sequence* opened) : owner(engine), sequence(opened) {}
    PySequence(PySequence&& other) noexcept
        : owner(other.owner), sequence(std::exchange(other.sequence, nullptr)) {}
    PySequence& operator=(PySequence&&) = delete;
    ~PySequence() { close(); }

    void close() {
        if (sequence == nullptr) return;
        const std::lock_guard<std::mutex> dropping(owner->dropped_mutex);
        owner->dropped.push_back(std::exchange(sequence, nullptr));
    }

    PyEngine* owner;
    Sequence* sequence;
};

inline void require_open(const PySequence& self) {
    if (self.sequence == nullptr) raise(invalid("this sequence is closed"), Origin::kArgument);
}

// Adds the methods that save and restore KV snapshots (bind/kv_snapshot.cpp).
void bind_kv_snapshot(nanobind::class_<PyEngine>& engine, nanobind::class_<PySequence>& sequence);

}  // namespace zp
