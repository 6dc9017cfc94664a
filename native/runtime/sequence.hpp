// A sequence of tokens and the keys and values computed for it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/memory.hpp"
#include "model/edits.hpp"
#include "model/spec.hpp"
#include "ops/cache_view.hpp"

namespace zp {

struct Sequence {
    std::vector<int32_t> tokens;  // all of them; the first n_cached are in the cache
    int n_cached = 0;
    uint64_t last_used = 0;
    bool is_busy = false;
    CacheView cache;
    Buffer memory;
    std::shared_ptr<const Edits> edits;  // how its passes are changed, or null

    // Tokens that `prompt` and the cache have in common from the start.
    int common_prefix(std::span<const int32_t> prompt) const;
};

// The sequences of an engine: those in use, and idle ones kept because a later prompt may start alike
// (the next turn of a conversation does). Memory of a cache is used only as far as it is filled.
class SequencePool {
public:
    SequencePool(const ModelSpec& spec, bool is_exact) : spec_(spec), is_exact_(is_exact) {}

    // A sequence whose cache holds as much of `prompt` as any idle one does; `tokens` become the prompt.
    // At least the last token is left to compute, since its logits are wanted.
    Result<Sequence*> acquire(std::span<const int32_t> prompt);
    // Keeps it for reuse.
    void release(Sequence* sequence);
    // Bytes of cache that a full context takes.
    size_t bytes_a_sequence() const;

private:
    static constexpr size_t kMostIdle = 4;
    Result<Sequence*> create();

    const ModelSpec& spec_;
    bool is_exact_;
    uint64_t clock_ = 0;
    std::vector<std::unique_ptr<Sequence>> sequences_;
};

}  // namespace zp
