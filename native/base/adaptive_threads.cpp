#include "base/adaptive_threads.hpp"

#include <algorithm>

namespace zp {

namespace {

constexpr int kMinSleeps = 2;           // sleeps per pass that count as contention; one may be chance
constexpr int kContendedPasses = 3;     // consecutive contended passes before trying fewer threads
constexpr int kTrialPasses = 4;         // passes over which a lower thread count is timed
constexpr int kMinRetryInterval = 32;   // passes before trying more threads again: at first
constexpr int kMaxRetryInterval = 512;  // and at most

}  // namespace

void AdaptiveThreads::record_pass(double seconds, int n_sleeps) {
    if (n_cooldown_ > 0) {
        --n_cooldown_;
        return;
    }
    if (n_trial_left_ > 0) {
        trial_seconds_ += seconds;
        if (--n_trial_left_ == 0 && trial_seconds_ / kTrialPasses > seconds_to_beat_) {
            try_more();
            n_cooldown_ = retry_interval_;
            return;
        }
    }
    const bool is_contended = n_threads_ > 1 && n_sleeps >= kMinSleeps;
    n_contended_ = is_contended ? n_contended_ + 1 : 0;
    contended_seconds_ = is_contended ? contended_seconds_ + seconds : 0;
    if (n_contended_ >= (is_retry_ ? 1 : kContendedPasses)) return try_fewer();
    if (is_retry_ && !is_contended) {
        is_retry_ = false;
        retry_interval_ = 0;
    }
    if (n_threads_ < max_threads_ && --n_until_retry_ <= 0) try_more();
}

void AdaptiveThreads::try_fewer() {
    seconds_to_beat_ = contended_seconds_ / n_contended_;
    n_threads_ = std::max(n_threads_ / 2, 1);
    n_trial_left_ = kTrialPasses;
    retry_interval_ = std::clamp(2 * retry_interval_, kMinRetryInterval, kMaxRetryInterval);
    n_until_retry_ = retry_interval_;
    n_contended_ = 0;
    contended_seconds_ = trial_seconds_ = 0;
    is_retry_ = false;
}

void AdaptiveThreads::try_more() {
    n_threads_ = std::min(2 * n_threads_, max_threads_);
    n_contended_ = n_trial_left_ = 0;
    contended_seconds_ = trial_seconds_ = 0;
    n_until_retry_ = retry_interval_;
    is_retry_ = true;
}

}  // namespace zp
