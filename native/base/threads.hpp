// A thread pool whose threads all run the same function and synchronize at barriers.
// A waiting thread spins briefly, because the next work item is microseconds away while a model runs, and
// then sleeps in the kernel, so that an idle pool uses no CPU.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace zp {

// A half-open range [begin, end) of items; thread_range gives the equal share of `n` items for one thread.
struct Range {
    int begin, end;
};
inline Range thread_range(int n, int thread, int n_threads) {
    return {static_cast<int>(static_cast<int64_t>(n) * thread / n_threads),
            static_cast<int>(static_cast<int64_t>(n) * (thread + 1) / n_threads)};
}

class ThreadPool {
public:
    static constexpr int kMaxThreads = 1024;  // round_ packs a thread count below twice this

    // Includes the calling thread. The pool is smaller if the system refuses to create more threads.
    explicit ThreadPool(int n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Number of participating threads; max_threads() until set_size changes it.
    int size() const { return n_active_; }
    int max_threads() const { return n_threads_; }
    // Sets the number of participating threads, 1 to max_threads(), from the next run on. Call it outside
    // run.
    void set_size(int n_threads);
    // Returns how often threads fell asleep at a barrier since the last call. Call it outside run. A thread
    // sleeps if another was preempted by some other program, but not if its share of the work is slightly
    // larger.
    int take_sleep_count() { return n_sleeps_.exchange(0); }
    // False in a child process after fork, which does not inherit the threads.
    bool is_alive() const;
    // Calls work(thread) on every thread (the caller is thread 0) and returns when all have finished.
    void run(const std::function<void(int)>& work);
    // Waits until every thread has arrived. Call it inside run.
    void barrier();
    // Splits `n` items among the threads and calls work(begin, end). Every thread calls it inside run; two
    // calls need a barrier between them. Three quarters of the items are assigned statically, the rest
    // dynamically in small pieces, so that a thread that was preempted or had slow memory does not delay the
    // others.
    template <class Work>
    void parallel_for(int n, int thread, const Work& work);

private:
    static constexpr int kPiecesPerThread = 4;

    // A counter that threads wait on. It only grows, and never exceeds 64 bits in practice.
    struct Gate {
        alignas(64) std::atomic<uint64_t> value{0};
        alignas(64) std::atomic<int32_t> sleepers{0};
        // Returns whether the thread had to sleep.
        bool wait_for(uint64_t goal, int spins);
        // Increments the counter and wakes the sleepers if it reaches `goal`.
        void advance(uint64_t goal);
    };

    void work_loop(int thread);
    // Takes the next piece, numbered from 0. Every thread makes exactly one call that returns no piece, so
    // the last of these calls is known and resets the counter.
    int take(int n_pieces);

    int n_threads_ = 1;
    int n_active_ = 1;
    int spins_ = 0;
    pid_t owner_ = 0;
    std::vector<std::thread> workers_;
    const std::function<void(int)>* work_ = nullptr;
    std::atomic<bool> is_closing_{false};
    Gate start_;
    // The current round of start_ and its number of threads, packed in one integer: a thread that sat out
    // some rounds may wake late and must not combine the values of two rounds.
    std::atomic<uint64_t> round_{0};
    Gate arrived_;  // arrivals at barriers since base_; every n_active_-th one opens a barrier
    uint64_t base_ = 0;
    std::atomic<int> n_sleeps_{0};
    alignas(64) std::atomic<int> n_taken_{0};
};

template <class Work>
void ThreadPool::parallel_for(int n, int thread, const Work& work) {
    const int n_fixed = n_active_ == 1 ? n : n - n / 4;
    const Range fixed = thread_range(n_fixed, thread, n_active_);
    if (fixed.begin < fixed.end) work(fixed.begin, fixed.end);
    if (n_fixed == n) return;
    const int n_pieces = kPiecesPerThread * n_active_;
    for (int i = take(n_pieces); i < n_pieces; i = take(n_pieces)) {
        const Range piece = thread_range(n - n_fixed, i, n_pieces);
        if (piece.begin < piece.end) work(n_fixed + piece.begin, n_fixed + piece.end);
    }
}

}  // namespace zp
