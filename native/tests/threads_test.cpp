// The thread pool: every thread runs the work, no thread passes a barrier early, and every pool shuts down.
#include "base/threads.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/cpu.hpp"
#include "check.hpp"

using namespace zp;

ZP_TEST(pool_thread_ranges_cover_every_item_once_and_evenly) {
    for (const int n : {0, 1, 2, 15, 16, 1000003}) {
        for (int n_threads = 1; n_threads <= 9; ++n_threads) {
            int next = 0, smallest = n, largest = 0;
            for (int thread = 0; thread < n_threads; ++thread) {
                const Range range = thread_range(n, thread, n_threads);
                ZP_EQ(range.begin, next);
                next = range.end;
                smallest = std::min(smallest, range.end - range.begin);
                largest = std::max(largest, range.end - range.begin);
            }
            ZP_EQ(next, n);
            ZP_CHECK(largest - smallest <= 1);
        }
    }
    const Range last = thread_range(2000000000, 1023, 1024);  // no intermediate overflow
    ZP_EQ(last.end, 2000000000);
}

ZP_TEST(pool_of_changing_size_synchronizes_at_barriers) {
    ThreadPool pool(5);
    std::vector<int> phase(5, 0);
    std::atomic<int> n_early{0};
    int expected = 0;
    for (int run = 0; run < 600; ++run) {
        const int size = 1 + run * 7 % 5;
        pool.set_size(size);
        ZP_EQ(pool.size(), size);
        std::vector<int> taken(97, 0);
        pool.run([&](int thread) {
            ZP_CHECK(thread < size);
            pool.parallel_for(97, thread, [&](int begin, int end) {
                for (int i = begin; i < end; ++i) ++taken[static_cast<size_t>(i)];
            });
            for (int step = 0; step < 3; ++step) {
                ++phase[static_cast<size_t>(thread)];
                pool.barrier();
                for (int other = 0; other < size; ++other)
                    n_early += phase[static_cast<size_t>(other)] < phase[static_cast<size_t>(thread)];
                pool.barrier();
            }
        });
        expected += 3;
        for (const int n : taken) ZP_EQ(n, 1);
        for (int other = 0; other < size; ++other) ZP_EQ(phase[static_cast<size_t>(other)], expected);
        std::fill(phase.begin(), phase.end(), expected);
    }
    ZP_EQ(n_early.load(), 0);
}

ZP_TEST(pool_runs_every_thread_and_synchronizes_at_barriers) {
    constexpr int kRuns = 200, kBarriers = 10;
    for (const int n_threads : {1, 2, 5}) {
        ThreadPool pool(n_threads);
        ZP_EQ(pool.size(), n_threads);
        // Plain integers: only the barriers prevent data races, which the thread sanitizer checks.
        std::vector<int> phase(static_cast<size_t>(n_threads), 0);
        std::atomic<int> n_early{0};
        for (int run = 0; run < kRuns; ++run) {
            pool.run([&](int thread) {
                for (int step = 0; step < kBarriers; ++step) {
                    ++phase[static_cast<size_t>(thread)];
                    pool.barrier();
                    for (const int other : phase) n_early += other != phase[static_cast<size_t>(thread)];
                    pool.barrier();
                }
            });
        }
        ZP_EQ(n_early.load(), 0);
        for (const int reached : phase) ZP_EQ(reached, kRuns * kBarriers);
    }
}

ZP_TEST(pool_waits_for_the_slowest_thread) {
    ThreadPool pool(3);
    std::vector<int> done(3, 0);
    for (int run = 0; run < 20; ++run) {
        pool.run([&](int thread) {
            if (thread == run % 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            ++done[static_cast<size_t>(thread)];
        });
        for (const int n : done) ZP_EQ(n, run + 1);
    }
}

ZP_TEST(pool_parallel_for_visits_every_item_once_with_slow_threads) {
    for (const int n_threads : {1, 2, 5}) {
        ThreadPool pool(n_threads);
        for (const int n : {0, 1, 7, 36, 1000}) {
            std::vector<std::atomic<int>> done(static_cast<size_t>(n)), also(static_cast<size_t>(n));
            std::atomic<int> n_empty{0};
            const auto mark = [&](std::vector<std::atomic<int>>& items, int begin, int end) {
                n_empty += begin >= end;
                for (int i = begin; i < end; ++i) ++items[static_cast<size_t>(i)];
            };
            pool.run([&](int thread) {
                for (int round = 0; round < 20; ++round) {
                    if (thread == round % 3) std::this_thread::sleep_for(std::chrono::microseconds(100));
                    pool.parallel_for(n, thread, [&](int begin, int end) { mark(done, begin, end); });
                    pool.barrier();
                    pool.parallel_for(n, thread, [&](int begin, int end) { mark(also, begin, end); });
                    pool.barrier();
                }
            });
            ZP_EQ(n_empty.load(), 0);
            for (const auto& count : done) ZP_EQ(count.load(), 20);
            for (const auto& count : also) ZP_EQ(count.load(), 20);
        }
    }
}

ZP_TEST(pool_with_more_threads_than_processors_shuts_down) {
    ThreadPool pool(4 * usable_processors() + 1);
    std::atomic<int> total{0};
    for (int run = 0; run < 50; ++run) {
        pool.run([&](int) {
            ++total;
            pool.barrier();
        });
    }
    ZP_EQ(total.load(), 50 * pool.size());
}

ZP_TEST(pool_without_workers_runs_on_the_caller) {
    for (const int n_threads : {0, -3, 1}) {
        ThreadPool pool(n_threads);
        ZP_EQ(pool.size(), 1);
        int ran = 0;
        pool.run([&](int thread) { ran += thread + 1; });
        pool.barrier();
        ZP_EQ(ran, 1);
    }
}

ZP_TEST(pool_shuts_down_when_idle_or_after_work) {
    for (int i = 0; i < 50; ++i) {
        ThreadPool pool(3);
        if (i % 2 == 0) continue;
        pool.run([](int) {});
        if (i % 5 == 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(2));  // asleep in the kernel by now
    }
}

ZP_TEST(pool_is_not_alive_after_fork) {
    auto pool = std::make_unique<ThreadPool>(2);
    ZP_CHECK(pool->is_alive());
    const pid_t child = fork();
    if (child == 0) {
        const bool was_alive = pool->is_alive();
        pool.reset();  // must not join: the threads do not exist in the child
        _exit(was_alive ? 1 : 0);
    }
    int status = -1;
    waitpid(child, &status, 0);
    ZP_EQ(status, 0);
}
