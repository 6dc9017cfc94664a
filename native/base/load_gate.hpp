// Pauses weight loading near its end until tokenizer construction has freed its working memory: otherwise
// both would hold theirs at once, and the sum would be the process's peak RSS.
#pragma once

#include <atomic>

namespace zp {

class LoadGate {
public:
    // Blocks until open() or abandon(). Returns false if the load was abandoned.
    bool wait() const {
        state_.wait(kClosed);
        return !is_abandoned();
    }
    void open() { set(kOpen); }
    // Cancels the load; this is final, a later open() has no effect.
    void abandon() { set(kAbandoned); }
    bool is_abandoned() const { return state_.load() == kAbandoned; }

private:
    enum State { kClosed, kOpen, kAbandoned };

    void set(State state) {
        if (is_abandoned()) return;
        state_.store(state);
        state_.notify_all();
    }

    std::atomic<State> state_{kClosed};
};

}  // namespace zp
