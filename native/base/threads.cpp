#include "base/threads.hpp"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/cpu.hpp"

namespace zp {

namespace {

// A pause takes 20 to 50 ns on current processors, so this spins for about 0.1 ms: longer than any wait
// between two operations of one step.
constexpr int kSpins = 4000;

void pause_briefly() {
#ifdef ZP_X86
    __builtin_ia32_pause();
#elif defined(ZP_ARM64)
    // Most cores wait for ISB, whereas YIELD is a no-op on cores without SMT.
    __asm__ volatile("isb" ::: "memory");
#endif
}

// Signals belong to the calling thread; workers must not run the program's signal handlers.
class BlockedSignals {
public:
    BlockedSignals() {
        sigset_t all;
        sigfillset(&all);
        sigdelset(&all, SIGBUS);  // the SIGBUS guard of mapped files must run on the reading thread
        sigdelset(&all, SIGSEGV);
        pthread_sigmask(SIG_SETMASK, &all, &saved_);
    }
    ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &saved_, nullptr); }

private:
    sigset_t saved_;
};

}  // namespace

bool ThreadPool::Gate::wait_for(uint64_t goal, int spins) {
    for (int i = 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) >= goal) return false;
        pause_briefly();
    }
    sleepers.fetch_add(1);
    for (uint64_t now = value.load(); now < goal; now = value.load()) value.wait(now);
    sleepers.fetch_sub(1);
    return true;
}

void ThreadPool::Gate::advance(uint64_t goal) {
    if (value.fetch_add(1) + 1 == goal && sleepers.load() > 0) value.notify_all();
}

ThreadPool::ThreadPool(int n_threads) : owner_(getpid()) {
    const BlockedSignals blocked;
    n_threads = std::clamp(n_threads, 1, kMaxThreads);
    // With more threads than processors, spinning would keep the awaited thread from running.
    spins_ = n_threads <= usable_processors() ? kSpins : 1;  // before any thread reads it
    try {
        workers_.reserve(static_cast<size_t>(n_threads) - 1);
        for (int i = 1; i < n_threads; ++i) workers_.emplace_back([this, i] { work_loop(i); });
    } catch (const std::system_error&) {
        // The system refuses more threads; fewer threads do the same work.
    }
    n_threads_ = n_active_ = static_cast<int>(workers_.size()) + 1;
}

ThreadPool::~ThreadPool() {
    if (!is_alive()) {
        for (std::thread& worker : workers_) worker.detach();
        return;
    }
    is_closing_ = true;
    start_.advance(start_.value.load() + 1);
    for (std::thread& worker : workers_) worker.join();
}

bool ThreadPool::is_alive() const { return getpid() == owner_; }

void ThreadPool::run(const std::function<void(int)>& work) {
    if (n_active_ == 1) return work(0);
    work_ = &work;
    const uint64_t round = start_.value.load() + 1;
    round_.store(round * 2 * kMaxThreads + static_cast<uint64_t>(n_active_));
    start_.advance(round);
    work(0);
    barrier();
}

void ThreadPool::set_size(int n_threads) {
    n_active_ = std::clamp(n_threads, 1, n_threads_);
    base_ = arrived_.value.load();  // all threads of the last run have arrived
}

void ThreadPool::barrier() {
    if (n_active_ == 1) return;
    // A single counter implements all barriers: the thread that brings it to a multiple of n releases the
    // others.
    const uint64_t n = static_cast<uint64_t>(n_active_);
    const uint64_t phase = (arrived_.value.load(std::memory_order_relaxed) - base_) / n;
    const uint64_t goal = base_ + (phase + 1) * n;
    arrived_.advance(goal);
    if (arrived_.wait_for(goal, spins_)) n_sleeps_.fetch_add(1, std::memory_order_relaxed);
}

int ThreadPool::take(int n_pieces) {
    const int piece = n_taken_.fetch_add(1);
    if (piece == n_pieces + n_active_ - 1) n_taken_.store(0);
    return piece;
}

void ThreadPool::work_loop(int thread) {
    for (uint64_t next = 1;;) {
        start_.wait_for(next, spins_);
        if (is_closing_) return;
        const uint64_t round = round_.load();
        next = round / (2 * kMaxThreads) + 1;
        if (static_cast<uint64_t>(thread) >= round % (2 * kMaxThreads)) continue;
        (*work_)(thread);
        barrier();
    }
}

}  // namespace zp
