// How many threads the short passes of a model take: fewer where other programs hold the processors. A short
// pass has some two hundred barriers; where one thread is kept from running, the others wait for it at each.
#pragma once

namespace zp {

class Pace {
public:
    explicit Pace(int most_threads) : most_(most_threads), n_threads_(most_threads) {}

    // For the next short pass.
    int n_threads() const { return n_threads_; }
    // How long a pass took that so many had, and how often a thread slept at a barrier meanwhile.
    void tell(double seconds, int n_sleeps);

private:
    void try_fewer();
    void try_more();

    int most_;
    int n_threads_;
    int n_held_up_ = 0;           // passes in a row in which threads slept
    double held_up_seconds_ = 0;  // of them together
    int n_judged_ = 0;  // passes since fewer threads were tried that are still to be compared, and ...
    double judged_seconds_ = 0;
    double to_beat_ = 0;     // ... seconds a pass that they must stay below
    int n_ignored_ = 0;      // passes that change nothing, since fewer threads were no faster
    int n_until_more_ = 0;   // passes until more threads are tried again
    int n_patient_ = 0;      // how many those are the next time: longer from time to time
    bool is_retry_ = false;  // more threads were tried, and no pass has shown yet whether they are held up
};

}  // namespace zp
