// Chooses the thread count of a model's short passes, and lowers it while other programs occupy the
// processors. A short pass crosses about two hundred barriers; at each, all threads wait for one that was
// preempted.
#pragma once

namespace zp {

class AdaptiveThreads {
public:
    explicit AdaptiveThreads(int max_threads) : max_threads_(max_threads), n_threads_(max_threads) {}

    // Thread count for the next short pass.
    int n_threads() const { return n_threads_; }
    // Reports a finished pass: its duration, and how often its threads fell asleep at a barrier.
    void record_pass(double seconds, int n_sleeps);

private:
    void try_fewer();
    void try_more();

    int max_threads_;
    int n_threads_;
    int n_contended_ = 0;           // consecutive passes in which threads slept
    double contended_seconds_ = 0;  // total duration of those passes
    int n_trial_left_ = 0;          // passes left in the trial of a lower thread count
    double trial_seconds_ = 0;      // total duration of the trial so far
    double seconds_to_beat_ = 0;    // seconds per pass that the trial must not exceed
    int n_cooldown_ = 0;            // passes to ignore after a trial that was no faster
    int n_until_retry_ = 0;         // passes until a higher thread count is tried again
    int retry_interval_ = 0;        // the next value of n_until_retry_; grows exponentially
    bool is_retry_ = false;  // a higher count is being tried and no pass has yet run without contention
};

}  // namespace zp
