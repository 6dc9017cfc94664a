#include "runtime/window.hpp"

#include <string>
#include <vector>

#include "ops/position/rope.hpp"

namespace zp {

namespace {

constexpr int kMinPages = 2;  // after the sinks: one that may go, one that is being filled

}  // namespace

Result<CacheWindow> fit(const CacheWindow& wanted, const ModelSpec& spec) {
    if (!wanted.is_on()) return CacheWindow{};
    if (spec.n_positions > 0)
        return invalid("a model with learned positions ends with them; --window needs rotary positions");
    if (wanted.n_positions > spec.n_ctx || wanted.n_sinks < 0 || wanted.n_sinks > wanted.n_positions) {
        return invalid("a window of " + std::to_string(wanted.n_positions) + " positions with " +
                       std::to_string(wanted.n_sinks) + " sinks is not possible; the context holds " +
                       std::to_string(spec.n_ctx));
    }
    const int n_sink_pages = wanted.n_sinks / kChunk + (wanted.n_sinks % kChunk != 0);
    const CacheWindow window{wanted.n_positions / kChunk * kChunk, n_sink_pages * kChunk};
    if (window.n_positions / kChunk < n_sink_pages + kMinPages) {
        return invalid("a window of " + std::to_string(wanted.n_positions) +
                       " positions is too small; with " + std::to_string(wanted.n_sinks) +
                       " sinks it needs at least " +
                       std::to_string((static_cast<int64_t>(n_sink_pages) + kMinPages) * kChunk));
    }
    return window;
}

void move_keys(const ModelSpec& spec, const PageLayout& layout, uint8_t* from, uint8_t* to, int n_moved) {
    const CacheView computed{layout, &from}, moved{layout, &to};
    const int n_pairs = static_cast<int>(spec.rope_frequencies.size());
    std::vector<float> cosines(spec.rope_frequencies.size()), sines(spec.rope_frequencies.size());
    std::vector<float> key(static_cast<size_t>(layout.d_head));
    rope_angles(spec.rope_frequencies.data(), n_pairs, n_moved, cosines.data(), sines.data());
    for (int layer = 0; layer < layout.n_layers; ++layer) {
        for (int head = 0; head < layout.n_kv_heads; ++head) {
            for (int s = 0; s < kChunk; ++s) {
                read_key(computed, layer, head, s, key.data());
                rope_rotate(spec.rope_layout, cosines.data(), sines.data(), n_pairs, key.data());
                write_key(moved, layer, head, s, key.data());
            }
        }
    }
}

}  // namespace zp
