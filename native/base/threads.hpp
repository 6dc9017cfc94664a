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

// The half-open share [begin, end) of `n` items that falls to a thread.
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

    // The caller counts as one thread. Where the system refuses more threads, the pool is smaller.
    explicit ThreadPool(int n_threads);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Threads that take part, all of them until set_size says otherwise.
    int size() const { return n_active_; }
    int max_threads() const { return n_threads_; }
    // Outside run: how many take part from the next run on, 1 to max_threads().
    void set_size(int n_threads);
    // Outside run: how often since the last call a thread waited at a barrier for so long that it went to
    // sleep. A processor that another program holds makes it do so; a share that is a little larger does not.
    int take_sleep_count() { return n_sleeps_.exchange(0); }
    // False in a child process made by fork: its copies of the threads do not exist.
    bool is_alive() const;
    // Calls work(thread) on every thread, thread 0 being the caller, and returns when all are done.
    void run(const std::function<void(int)>& work);
    // Inside run: waits until every thread has come here.
    void barrier();
    // Inside run, called by every thread: `work(begin, end)` on all of `n` items. Three quarters are fixed
    // shares; the rest goes in small pieces to whoever comes for it, so that a thread whose processor was
    // taken away, or whose memory was slow, does not hold up the others. Between two calls there must be a
    // barrier.
    template <class Work>
    void parallel_for(int n, int thread, const Work& work);

private:
    static constexpr int kPiecesPerThread = 4;

    // A counter that threads wait on: it only grows, and in no lifetime past 64 bits.
    struct Gate {
        alignas(64) std::atomic<uint64_t> value{0};
        alignas(64) std::atomic<int32_t> sleepers{0};
        // Whether it had to sleep.
        bool wait_for(uint64_t goal, int spins);
        // Adds one and wakes the sleepers if that makes `goal`.
        void advance(uint64_t goal);
    };

    void work_loop(int thread);
    // The next piece, counted from 0. Every thread comes once more than it gets one, so the last to come is
    // known, and leaves the count as it was.
    int take(int n_pieces);

    int n_threads_ = 1;
    int n_active_ = 1;
    int spins_ = 0;
    pid_t owner_ = 0;
    std::vector<std::thread> workers_;
    const std::function<void(int)>* work_ = nullptr;
    std::atomic<bool> is_closing_{false};
    Gate start_;
    // The round that start_ is at and how many threads take part in it, in one number: a thread that was left
    // out of some rounds may wake late, and must not take the numbers of two of them together.
    std::atomic<uint64_t> round_{0};
    Gate arrived_;  // arrivals at barriers: every n_active_ of them after base_ open one
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
