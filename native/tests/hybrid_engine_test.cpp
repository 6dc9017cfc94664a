// The engine with layers that keep different positions.
#include <span>

#include "engine_fixture.hpp"

using namespace zp;
using namespace zp::test;

// A layer with a window, and a text of which it keeps the end only.
ZP_TEST(engine_with_a_window_layer_repeats_interrupted_passes_and_rolls_back) {
    const TinyModel model(true);
    const auto open_windowed = [&](size_t max_bytes) {
        EngineConfig config = config_of(model.path, {2});
        config.spec.n_ctx = 2000;
        config.spec.layers[0].attention.rule.window = 100;
        config.cache_limits.max_bytes = max_bytes;
        return std::move(Engine::open(std::move(config)).value());
    };
    auto engine = open_windowed(SIZE_MAX);
    const std::vector<int32_t> ids = prompt_of(1100);
    const auto expected = extended(*engine, engine->open_sequence().value(), ids);
    const Answer whole = answer(*engine, request_of(prompt_of(900, 3), 40));
    // With the memory of one text: that text again, interrupted, next to others that preempt it.
    auto small = open_windowed(engine->cache_bytes());
    int n_calls = 0;
    const Interrupt every_third = [&] { return ++n_calls % 3 == 0; };
    for (int salt = 5; salt < 8; ++salt) small->submit(request_of(prompt_of(700, salt), 40)).value();
    ZP_CHECK(answer(*small, request_of(prompt_of(900, 3), 40), every_third) == whole);
    ZP_CHECK(small->used_cache_bytes() <= small->cache_bytes());
    // Rollback within the slack, and beyond it.
    Sequence* sequence = small->open_sequence().value();
    extended(*small, sequence, ids);
    for (const int n : {100, 700}) {
        ZP_CHECK(small->rollback(sequence, n).ok());
        const size_t first = sequence->tokens.size();
        const auto tail = extended(*small, sequence, std::span(ids).subspan(first));
        ZP_CHECK(
            std::equal(tail.begin(), tail.end(), expected.begin() + static_cast<std::ptrdiff_t>(first * 70)));
    }
}
