#include "runtime/sequence.hpp"

#include <algorithm>

namespace zp {

int Sequence::common_prefix(std::span<const int32_t> prompt) const {
    const size_t most = std::min(prompt.size(), static_cast<size_t>(n_cached));
    size_t n = 0;
    while (n < most && tokens[n] == prompt[n]) ++n;
    return static_cast<int>(n);
}

size_t SequencePool::bytes_a_sequence() const {
    CacheView view;
    view.is_half = !is_exact_;
    view.n_kv_heads = spec_.n_kv_heads;
    view.d_head = spec_.d_head;
    view.capacity = padded(spec_.n_ctx);
    return view.layer_bytes() * static_cast<size_t>(spec_.n_layers);
}

Result<Sequence*> SequencePool::create() {
    auto sequence = std::make_unique<Sequence>();
    sequence->cache = {nullptr, !is_exact_, spec_.n_kv_heads, spec_.d_head, padded(spec_.n_ctx)};
    Result<Buffer> memory = Buffer::allocate(bytes_a_sequence(), Pages::kSmall, "the key/value cache");
    if (!memory.ok()) return memory.error();
    sequence->memory = std::move(memory.value());
    sequence->cache.data = static_cast<uint8_t*>(sequence->memory.data());
    sequences_.push_back(std::move(sequence));
    return sequences_.back().get();
}

Result<Sequence*> SequencePool::acquire(std::span<const int32_t> prompt) {
    Sequence* best = nullptr;
    Sequence* oldest = nullptr;
    int shared = 0;
    size_t n_idle = 0;
    for (const auto& s : sequences_) {
        if (s->is_busy) continue;
        ++n_idle;
        const int prefix = s->common_prefix(prompt);
        if (prefix > shared) {
            shared = prefix;
            best = s.get();
        }
        if (oldest == nullptr || s->last_used < oldest->last_used) oldest = s.get();
    }
    // A cache of which most would be lost is worth more to its own conversation, while there is room.
    if (best != nullptr && n_idle < kMostIdle && 2 * shared < best->n_cached) best = nullptr;
    Sequence* chosen = best;
    if (chosen == nullptr) {
        shared = 0;
        if (n_idle < kMostIdle) {
            Result<Sequence*> fresh = create();
            if (!fresh.ok() && oldest == nullptr) return fresh.error();
            chosen = fresh.ok() ? fresh.value() : oldest;
        } else {
            chosen = oldest;
        }
    }
    chosen->tokens.assign(prompt.begin(), prompt.end());
    chosen->n_cached = std::min(shared, std::max(static_cast<int>(prompt.size()) - 1, 0));
    chosen->is_busy = true;
    return chosen;
}

void SequencePool::release(Sequence* sequence) {
    sequence->is_busy = false;
    sequence->last_used = ++clock_;
    sequence->tokens.resize(static_cast<size_t>(sequence->n_cached));
    const auto n_idle =
        std::count_if(sequences_.begin(), sequences_.end(), [](const auto& s) { return !s->is_busy; });
    if (static_cast<size_t>(n_idle) <= kMostIdle) return;
    const auto oldest =
        std::min_element(sequences_.begin(), sequences_.end(), [](const auto& a, const auto& b) {
            return a->is_busy != b->is_busy ? b->is_busy : a->last_used < b->last_used;
        });
    sequences_.erase(oldest);
}

}  // namespace zp
