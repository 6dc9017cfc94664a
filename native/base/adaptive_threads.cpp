#include "base/adaptive_threads.hpp"

#include <algorithm>

namespace zp {

namespace {

constexpr int kSleeps = 2;     // in one pass; a single one may be an accident
constexpr int kHeldUp = 3;     // passes in a row before fewer threads are tried
constexpr int kJudged = 4;     // passes that show whether fewer are faster
constexpr int kPatience = 32;  // passes before more threads are tried again, at first and at most
constexpr int kMostPatience = 512;

}  // namespace

void Pace::tell(double seconds, int n_sleeps) {
    if (n_ignored_ > 0) {
        --n_ignored_;
        return;
    }
    if (n_judged_ > 0) {
        judged_seconds_ += seconds;
        if (--n_judged_ == 0 && judged_seconds_ / kJudged > to_beat_) {
            try_more();
            n_ignored_ = n_patient_;
            return;
        }
    }
    const bool is_held_up = n_threads_ > 1 && n_sleeps >= kSleeps;
    n_held_up_ = is_held_up ? n_held_up_ + 1 : 0;
    held_up_seconds_ = is_held_up ? held_up_seconds_ + seconds : 0;
    if (n_held_up_ >= (is_retry_ ? 1 : kHeldUp)) return try_fewer();
    if (is_retry_ && !is_held_up) {
        is_retry_ = false;
        n_patient_ = 0;
    }
    if (n_threads_ < most_ && --n_until_more_ <= 0) try_more();
}

void Pace::try_fewer() {
    to_beat_ = held_up_seconds_ / n_held_up_;
    n_threads_ = std::max(n_threads_ / 2, 1);
    n_judged_ = kJudged;
    n_patient_ = std::clamp(2 * n_patient_, kPatience, kMostPatience);
    n_until_more_ = n_patient_;
    n_held_up_ = 0;
    held_up_seconds_ = judged_seconds_ = 0;
    is_retry_ = false;
}

void Pace::try_more() {
    n_threads_ = std::min(2 * n_threads_, most_);
    n_held_up_ = n_judged_ = 0;
    held_up_seconds_ = judged_seconds_ = 0;
    n_until_more_ = n_patient_;
    is_retry_ = true;
}

}  // namespace zp
