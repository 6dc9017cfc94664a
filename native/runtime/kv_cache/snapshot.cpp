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

std::vector<SnapshotBlock> SequencePool::snapshot_blocks(int n_tokens, int n_dropped) const {
    std::vector<SnapshotBlock> blocks;
    const int n_positions = n_tokens - n_dropped;
    for (size_t g = 0; g < pool_.n_groups(); ++g)
        for (int p = kept_.first_page(g, n_positions, 0); p < pages_for(n_positions); ++p)
            blocks.push_back({false, g, p, pool_.page_bytes(g)});
    if (kept_.has_state() && n_tokens > 0) blocks.push_back({true, 0, 0, pool_.state_bytes()});
    return blocks;
}

Result<BlockRef> SequencePool::snapshot(const Sequence& sequence, const SnapshotBlock& block) {
    if (block.is_state) return sequence.state;
    const size_t at = static_cast<size_t>(block.page);
    const bool is_sink = block.group < sequence.sinks.size() && at < sequence.sinks[block.group].size();
    const BlockRef& stored = (is_sink ? sequence.sinks : sequence.pages)[block.group][at];
    const int n_positions = std::min(sequence.n_positions() - block.page * kChunk, kChunk);
    if (n_positions == kChunk) return stored;
    // Clears the rest, which may hold another text's keys and values.
    return copy_page(block.group, *stored, n_positions);
}

Status SequencePool::restore(Sequence& sequence, int n_dropped, const std::vector<BlockRef>& blocks) {
    PrefixIndex::Match match{static_cast<int>(sequence.tokens.size()), GroupPages(pool_.n_groups()), nullptr};
    auto checkpoint = std::make_shared<Checkpoint>();
    checkpoint->n_tokens = match.n_tokens - n_dropped;
    checkpoint->windows.resize(pool_.n_groups());
    const std::vector<SnapshotBlock> parts = snapshot_blocks(match.n_tokens, n_dropped);
    for (size_t i = 0; i < parts.size(); ++i) {
        const size_t g = parts[i].group;
        if (parts[i].is_state) {
            checkpoint->state = blocks[i];
        } else {
            (kept_.keeps_all(g) ? match.pages : checkpoint->windows)[g].push_back(blocks[i]);
        }
    }
    match.n_tokens -= n_dropped;
    match.checkpoint = kept_.needs_checkpoints() ? std::move(checkpoint) : nullptr;
    adopt(sequence, match);
    sequence.n_cached += n_dropped;
    sequence.n_dropped = n_dropped;
    return n_dropped > 0 ? shift_sinks(sequence) : Status();
}

Result<Sequence*> Engine::open_cached(std::span<const int32_t> ids) {
    if (Status status = check_alive(); !status.ok()) return status.error();
    if (Status status = check_ids(ids); !status.ok()) return status.error();
    std::vector<int32_t> extended(ids.begin(), ids.end());
    extended.push_back(0);  // acquire() never takes the last token from the cache
    Sequence* sequence = sequences_.acquire(extended);
    sequence->tokens.resize(static_cast<size_t>(sequence->n_cached));
    return sequence;
}

Status Engine::check_snapshot(int64_t n_tokens, int n_dropped) const {
    const int64_t n_positions = n_tokens - std::clamp<int64_t>(n_dropped, 0, n_tokens);
    const bool has_dropped = n_dropped != 0;
    if (n_dropped < 0 || n_dropped > n_tokens || n_dropped % kChunk != 0 || n_positions > max_positions() ||
        (has_dropped && (!config_.window.is_on() || n_positions < max_positions() - kChunk)))
        return invalid(std::to_string(n_tokens) + " tokens with " + std::to_string(n_dropped) +
                       " of them dropped are not a valid state of this cache");
    return {};
}

Result<std::vector<SnapshotBlock>> Engine::snapshot_blocks(int64_t n_tokens, int n_dropped) const {
    if (Status status = check_snapshot(n_tokens, n_dropped); !status.ok()) return status.error();
    return sequences_.snapshot_blocks(static_cast<int>(n_tokens), n_dropped);
}

Status Engine::restore(std::span<const int32_t> ids, int n_dropped, const NextBlock& next_block) {
    if (Status status = check_alive(); !status.ok()) return status;
    if (Status status = check_ids(ids); !status.ok()) return status;
    const auto parts = snapshot_blocks(static_cast<int64_t>(ids.size()), n_dropped);
    if (!parts.ok()) return parts.error();
    std::vector<BlockRef> blocks;
    for (const SnapshotBlock& part : parts.value()) {
        Result<BlockRef> block = part.is_state ? sequences_.take_state() : sequences_.take_page(part.group);
        if (!block.ok()) return block.error();
        if (Status status = next_block({block.value()->data(), part.n_bytes}); !status.ok()) return status;
        blocks.push_back(std::move(block.value()));
    }
    Sequence* sequence = sequences_.acquire({});
    sequence->tokens.assign(ids.begin(), ids.end());
    const Status status = sequences_.restore(*sequence, n_dropped, blocks);
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
