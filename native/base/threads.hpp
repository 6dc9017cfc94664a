// A pool whose threads all run the same function together and meet at barriers.
// Waiting spins for a moment, since the next piece of work is microseconds away while a model runs, and
// then sleeps in the kernel, so that an idle pool uses no processor.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace zp {

class ThreadPool {
public:
    // The caller counts as one thread. Where the system refuses more threads, the pool is smaller.
    explicit ThreadPool(int n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    int size() const { return n_threads_; }
    // False in a child process made by fork: its copies of the threads do not exist.
    bool is_alive() const;
    // Calls work(thread) on every thread, thread 0 being the caller, and returns when all are done.
    void run(const std::function<void(int)>& work);
    // Inside run: waits until every thread has come here.
    void barrier();

private:
    // A counter that threads wait on.
    struct Gate {
        alignas(64) std::atomic<int32_t> value{0};
        alignas(64) std::atomic<int32_t> sleepers{0};
        void wait_while(int32_t old, int spins);
        void advance();
    };

    void work_loop(int thread);

    int n_threads_ = 1;
    int spins_ = 0;
    pid_t owner_ = 0;
    std::vector<std::thread> workers_;
    const std::function<void(int)>* work_ = nullptr;
    std::atomic<bool> is_closing_{false};
    Gate start_;
    Gate phase_;
    alignas(64) std::atomic<int32_t> n_arrived_{0};
};

// The half-open share [begin, end) of `n` items that falls to a thread.
struct Share {
    int begin, end;
};
inline Share share_of(int n, int thread, int n_threads) {
    return {static_cast<int>(static_cast<int64_t>(n) * thread / n_threads),
            static_cast<int>(static_cast<int64_t>(n) * (thread + 1) / n_threads)};
}

}  // namespace zp
