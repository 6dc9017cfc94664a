// AdaptiveThreads chooses a thread count from the durations and sleep counts of earlier passes.
#include "base/adaptive_threads.hpp"

#include "check.hpp"

using namespace zp;

ZP_TEST(adaptive_threads_drops_threads_under_contention_and_restores_them) {
    AdaptiveThreads threads(4);
    for (int pass = 0; pass < 100; ++pass)
        threads.record_pass(0.004, pass % 5 == 0 ? 9 : 0);  // isolated stalls
    ZP_EQ(threads.n_threads(), 4);
    for (int pass = 0; pass < 3; ++pass) threads.record_pass(0.4, 60);
    ZP_EQ(threads.n_threads(), 2);
    for (int pass = 0; pass < 3; ++pass) threads.record_pass(0.2, 60);
    ZP_EQ(threads.n_threads(), 1);
    int n_single = 0, n_passes = 0;
    for (; n_passes < 2000; ++n_passes) {  // contended whenever it tries more than one thread
        n_single += threads.n_threads() == 1;
        threads.record_pass(threads.n_threads() == 1 ? 0.01 : 0.3, threads.n_threads() == 1 ? 0 : 50);
    }
    ZP_CHECK(n_single > 1980);
    for (int pass = 0; pass < 3000; ++pass) threads.record_pass(0.01, 0);  // contention is over
    ZP_EQ(threads.n_threads(), 4);
}

ZP_TEST(adaptive_threads_keeps_its_count_if_fewer_threads_are_no_faster) {
    AdaptiveThreads threads(2);
    int n_both = 0;
    for (int pass = 0; pass < 1000; ++pass) {
        n_both += threads.n_threads() == 2;
        threads.record_pass(threads.n_threads() == 2 ? 0.010 : 0.012, threads.n_threads() == 2 ? 5 : 0);
    }
    ZP_CHECK(n_both > 950);
}
