// How many threads a short pass takes, by what the passes before it told.
#include "base/adaptive_threads.hpp"

#include "check.hpp"

using namespace zp;

ZP_TEST(pace_takes_fewer_threads_while_others_hold_the_processors) {
    Pace pace(4);
    for (int pass = 0; pass < 100; ++pass) pace.tell(0.004, pass % 5 == 0 ? 9 : 0);  // accidents
    ZP_EQ(pace.n_threads(), 4);
    for (int pass = 0; pass < 3; ++pass) pace.tell(0.4, 60);
    ZP_EQ(pace.n_threads(), 2);
    for (int pass = 0; pass < 3; ++pass) pace.tell(0.2, 60);
    ZP_EQ(pace.n_threads(), 1);
    int n_alone = 0, n_passes = 0;
    for (; n_passes < 2000; ++n_passes) {  // held up whenever more are tried
        n_alone += pace.n_threads() == 1;
        pace.tell(pace.n_threads() == 1 ? 0.01 : 0.3, pace.n_threads() == 1 ? 0 : 50);
    }
    ZP_CHECK(n_alone > 1980);
    for (int pass = 0; pass < 3000; ++pass) pace.tell(0.01, 0);  // nobody in the way any more
    ZP_EQ(pace.n_threads(), 4);
}

ZP_TEST(pace_keeps_its_threads_where_fewer_are_no_faster) {
    Pace pace(2);
    int n_both = 0;
    for (int pass = 0; pass < 1000; ++pass) {
        n_both += pace.n_threads() == 2;
        pace.tell(pace.n_threads() == 2 ? 0.010 : 0.012, pace.n_threads() == 2 ? 5 : 0);
    }
    ZP_CHECK(n_both > 950);
}
