// One that reads weights stops where little is left, until another has given back the memory it works with:
// else both would have theirs at once.
#pragma once

#include <atomic>

namespace zp {

class Hold {
public:
    // Until one of the calls below; false once it was abandoned.
    bool wait() const {
        state_.wait(kHeld);
        return !is_abandoned();
    }
    void release() { set(kReleased); }
    // What was held for is of no use any more. Stays so.
    void abandon() { set(kAbandoned); }
    bool is_abandoned() const { return state_.load() == kAbandoned; }

private:
    enum State { kHeld, kReleased, kAbandoned };

    void set(State state) {
        if (is_abandoned()) return;
        state_.store(state);
        state_.notify_all();
    }

    std::atomic<State> state_{kHeld};
};

}  // namespace zp
