// KV snapshots: saving and restoring the cache pages of a sequence. engine/session/kv_snapshot.py writes and
// validates the file.
#include <algorithm>
#include <cstring>
#include <string>

#include "runtime/engine.hpp"

namespace zp {

namespace {

// A fast non-cryptographic hash: every input bit affects it, but it does not resist deliberate collisions.
class Hash {
public:
    void add(const void* data, size_t n_bytes) {
        const uint8_t* bytes = static_cast<const uint8_t*>(data);
        size_t i = 0;
        for (; i + 32 <= n_bytes; i += 32)
            for (size_t lane = 0; lane < 4; ++lane) mix(lane, word(bytes + i + 8 * lane, 8));
        for (; i < n_bytes; i += 8) mix(0, word(bytes + i, n_bytes - i < 8 ? n_bytes - i : 8));
        mix(1, n_bytes);
    }
    template <class T>
    void add(const T& number) {
        add(&number, sizeof number);
    }
    uint64_t value() {
        for (const size_t from : {1, 2, 3}) mix(0, lanes_[from]);
        return lanes_[0] ^ lanes_[0] >> 32;
    }

private:
    static uint64_t word(const uint8_t* bytes, size_t n) {
        uint64_t w = 0;
        std::memcpy(&w, bytes, n);
        return w;
    }
    // Multiplication by an odd number and rotation are invertible, so a lane never loses a difference.
    void mix(size_t lane, uint64_t w) {
        uint64_t x = (lanes_[lane] ^ w) * 0x9e3779b97f4a7c15u;  // 2^64 / golden ratio
        lanes_[lane] = x << 29 | x >> 35;
    }
    uint64_t lanes_[4] = {1, 2, 3, 4};
};

}  // namespace

Result<Sequence*> Engine::open_cached(std::span<const int32_t> ids) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    if (Status status = check_ids(ids); !status.ok()) return status.error();
    std::vector<int32_t> extended(ids.begin(), ids.end());
    extended.push_back(0);  // acquire() never takes the last token from the cache
    Sequence* sequence = sequences_.acquire(extended);
    sequence->tokens.resize(static_cast<size_t>(sequence->n_cached));
    return sequence;
}

Status Engine::restore(std::span<const int32_t> ids, int n_dropped, const NextPage& next_page) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const int n_tokens = static_cast<int>(ids.size());
    const int n_positions = n_tokens - std::clamp(n_dropped, 0, n_tokens);
    const bool has_dropped = n_dropped != 0;
    if (n_dropped < 0 || n_dropped > n_tokens || n_dropped % kChunk != 0 || n_positions > max_positions() ||
        (has_dropped && (!config_.window.is_on() || n_positions < max_positions() - kChunk)))
        return invalid(std::to_string(n_tokens) + " tokens with " + std::to_string(n_dropped) +
                       " of them dropped are not a valid state of this cache");
    std::vector<PageRef> pages;
    for (int p = 0; p < pages_for(n_positions); ++p) {
        Result<PageRef> page = sequences_.take_page();
        if (!page.ok()) return page.error();
        if (Status status = next_page({page.value()->data(), page_bytes()}); !status.ok()) return status;
        pages.push_back(std::move(page.value()));
    }
    Sequence* sequence = sequences_.acquire({});
    sequence->tokens.assign(ids.begin(), ids.end());
    const Status status = sequences_.restore(*sequence, n_dropped, std::move(pages));
    if (!status.ok()) sequences_.truncate(*sequence, 0);
    sequences_.release(sequence);
    return status;
}

uint64_t Engine::fingerprint() const {
    Hash hash;
    hash.add(config_.spec.identity.data(), config_.spec.identity.size());
    hash.add(static_cast<int>(config_.is_exact));
    for (const Buffer& buffer : weights_->buffers) hash.add(buffer.data(), buffer.size());
    return hash.value();
}

}  // namespace zp
