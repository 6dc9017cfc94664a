// The Python objects Engine and Sequence, and the lock that admits one thread at a time.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "bind/gil.hpp"
#include "bind/status.hpp"
#include "runtime/engine.hpp"

namespace zp {

// The Python Engine. It admits one thread at a time; a second one gets an error instead of waiting for
// minutes.
struct PyEngine {
    explicit PyEngine(std::unique_ptr<Engine> opened) : engine(std::move(opened)) {}

    std::unique_ptr<Engine> engine;
    std::mutex mutex;
    std::atomic<std::thread::id> user{};   // the thread that holds the mutex
    std::atomic<bool> is_closing{false};   // stops the call of the thread that holds the mutex
    std::atomic<bool> has_cancels{false};  // stops its step, which then continues without these requests
    // Sequences that Python closed or collected, and requests that it cancelled, possibly while another
    // thread was inside. That thread, or the next one to enter, handles them.
    std::mutex pending_mutex;
    std::vector<Sequence*> dropped;
    std::vector<int64_t> cancelled;

    // Call it with `mutex` held.
    void handle_pending() {
        const std::lock_guard<std::mutex> lock(pending_mutex);
        for (Sequence* sequence : std::exchange(dropped, {})) engine->close_sequence(sequence);
        for (const int64_t request : std::exchange(cancelled, {})) engine->cancel(request);
        has_cancels = false;
    }
};

inline Error closed() { return invalid("this model is closed; load it again"); }

[[noreturn]] inline void fail(const Error& error, const PyEngine& owner) {
    if (error.fault == Fault::kCancelled && PyErr_Occurred() != nullptr) throw nanobind::python_error();
    const bool is_closed = error.fault == Fault::kCancelled && owner.is_closing;
    raise(is_closed ? closed() : error, Origin::kArgument);
}

// Holds the lock of an engine while one of its methods runs.
class InUse {
public:
    explicit InUse(PyEngine& owner) : lock_(owner.mutex, std::try_to_lock) {
        if (owner.is_closing) raise(closed(), Origin::kArgument);  // the lock may be that of close()
        if (!lock_.owns_lock())
            raise(invalid("another thread is using this model; use it from one thread at a time, or load it "
                          "once per thread"),
                  Origin::kArgument);
        if (owner.engine == nullptr || owner.is_closing) raise(closed(), Origin::kArgument);
        user_ = &owner.user;
        *user_ = std::this_thread::get_id();
        owner.handle_pending();
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
        const std::lock_guard<std::mutex> lock(owner->pending_mutex);
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
