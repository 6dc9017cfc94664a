// Looking inside a pass and changing it: what is asked is checked, what is not asked is not changed, and a
// changed cache serves nobody else.
#include <numeric>

#include "check.hpp"
#include "ops/attention_weights.hpp"
#include "runtime/engine.hpp"
#include "tiny_model.hpp"

using namespace zp;
using namespace zp::test;

namespace {

const Interrupt kNever = [] { return false; };

std::unique_ptr<Engine> open(const TinyModel& model, int n_threads = 2) {
    return std::move(Engine::open({{model.path}, tiny_spec(), {}, n_threads, "", false}).value());
}

std::vector<int32_t> ids_of(int n) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back((5 * i + i * i % 13) % tiny_spec().n_vocab);
    return ids;
}

Edit silence_head(int layer, int head) {
    const int d_head = tiny_spec().d_head;
    return {Point::kMix, layer, 0, 600, head * d_head, d_head, 0.0f, {}};
}

std::shared_ptr<const Edits> edits_of(std::vector<Edit> edits) {
    return std::make_shared<const Edits>(std::move(Edits::make(std::move(edits), tiny_spec()).value()));
}

std::string refusal(const Edit& edit) {
    const auto made = Edits::make({edit}, tiny_spec());
    return made.ok() ? "" : made.error().message;
}

Reading reading(Point point, int layer, std::vector<int> heads = {}) {
    Reading r;
    r.point = point;
    r.layer = layer;
    r.heads = std::move(heads);
    return r;
}

std::vector<float> seen(Engine& engine, std::span<const int32_t> ids, Reading wanted,
                        std::shared_ptr<const Edits> edits = nullptr) {
    Probe probe = std::move(Probe::make(tiny_spec(), ids, {std::move(wanted)}, {}).value());
    ZP_CHECK(engine.trace(ids, probe, std::move(edits), kNever).ok());
    return probe.readings()[0].values;
}

struct Told {
    std::vector<int32_t> tokens;
    int n_cached = 0;
};

Told answer(Engine& engine, std::shared_ptr<const Edits> edits) {
    GenerateRequest request{ids_of(40),      std::move(Sampler::make({}, 1).value()), {}, 6, false,
                            std::move(edits)};
    ZP_CHECK(engine.submit(std::move(request)).ok());
    Told told;
    while (engine.has_work()) {
        const auto events = engine.step(kNever);
        for (const StepEvent& e : events.value()) {
            if (e.token) told.tokens.push_back(*e.token);
            told.n_cached = e.n_cached;
        }
    }
    return told;
}

}  // namespace

ZP_TEST(inside_a_silenced_head_is_silent_and_the_others_speak) {
    const TinyModel model(true);
    auto engine = open(model);
    const auto ids = ids_of(300);  // more than one pass
    const auto spec = tiny_spec();
    const auto plain = seen(*engine, ids, reading(Point::kMix, 0));
    const auto changed = seen(*engine, ids, reading(Point::kMix, 0), edits_of({silence_head(0, 2)}));
    ZP_EQ(changed.size(), ids.size() * static_cast<size_t>(spec.n_query()));
    bool is_right = true;
    for (size_t i = 0; i < changed.size(); ++i) {
        const bool is_silenced = static_cast<int>(i) % spec.n_query() / spec.d_head == 2;
        is_right = is_right && changed[i] == (is_silenced ? 0.0f : plain[i]);
    }
    ZP_CHECK(is_right);
    ZP_CHECK(seen(*engine, ids, reading(Point::kLogits, -1)) !=
             seen(*engine, ids, reading(Point::kLogits, -1), edits_of({silence_head(0, 2)})));
}

ZP_TEST(inside_attention_weights_sum_to_one_within_the_window) {
    const int d_head = 8;
    const PageLayout layout{CacheType::kHalf, 1, 1, d_head};
    std::vector<uint8_t> memory(layout.page_bytes());
    uint8_t* const page = memory.data();
    const CacheView cache{layout, &page};
    std::vector<float> q(d_head, 0.5f), key(d_head), got(20);
    for (int s = 0; s < 20; ++s) {
        for (int k = 0; k < d_head; ++k) key[static_cast<size_t>(k)] = static_cast<float>((s * k) % 5) - 2.0f;
        write_key(cache, 0, 0, s, key.data());
        read_key(cache, 0, 0, s, got.data());
        ZP_CHECK(std::equal(key.begin(), key.end(), got.begin()));
    }
    const std::vector<float> keys = keys_of(cache, 0, 0, 20);
    attention_weights(keys.data(), d_head, {6, 0.0f}, 19, q.data(), got.data());
    ZP_CHECK(std::all_of(got.begin(), got.begin() + 14, [](float w) { return w == 0.0f; }));
    ZP_CHECK(std::all_of(got.begin() + 14, got.end(), [](float w) { return w > 0.0f; }));
    ZP_CHECK(std::fabs(std::accumulate(got.begin(), got.end(), 0.0f) - 1.0f) < 1e-6f);
    std::vector<float> capped(20);
    attention_weights(keys.data(), d_head, {6, 1.0f}, 19, q.data(), capped.data());
    const auto spread = [](const std::vector<float>& w) { return *std::max_element(w.begin(), w.end()); };
    ZP_CHECK(spread(capped) < spread(got));
}

ZP_TEST(inside_a_changed_cache_is_neither_given_nor_taken) {
    const TinyModel model(true);
    auto engine = open(model);
    const auto edits = edits_of({silence_head(0, 1), silence_head(1, 3)});
    const Told plain = answer(*engine, nullptr);
    const Told changed = answer(*engine, edits);
    ZP_EQ(changed.n_cached, 0);
    ZP_CHECK(changed.tokens != plain.tokens);
    const Told again = answer(*engine, nullptr);
    ZP_EQ(again.n_cached, 39);  // from the plain answer
    ZP_CHECK(again.tokens == plain.tokens);
    auto fresh = open(model);
    ZP_CHECK(answer(*fresh, edits).tokens == changed.tokens);
    ZP_EQ(answer(*fresh, nullptr).n_cached, 0);
}

ZP_TEST(inside_what_the_model_has_not_is_refused) {
    const auto spec = tiny_spec();
    ZP_CHECK(refusal({Point::kKey, 0, 0, 9, 0, 1, 0.0f, {}}).find("can be changed") != std::string::npos);
    ZP_CHECK(refusal({Point::kMix, 2, 0, 9, 0, 1, 0.0f, {}}).find("can be changed") != std::string::npos);
    ZP_CHECK(refusal({Point::kMix, 0, 0, 9, 60, 5, 0.0f, {}}).find("reaches past") != std::string::npos);
    ZP_CHECK(refusal({Point::kAfterFfn, 0, 0, 9, 0, 3, 1.0f, {1.0f}}).find("adds 1") != std::string::npos);
    ZP_CHECK(refusal({Point::kAfterFfn, 0, 0, 9, 0, 1, NAN, {}}).find("not finite") != std::string::npos);
    const std::vector<int32_t> ids{1, 2};
    ZP_CHECK(!Probe::make(spec, ids, {reading(Point::kAfterFfn, -1)}, {}).ok());
    ZP_CHECK(!Probe::make(spec, ids, {reading(Point::kWeights, 0, {4})}, {}).ok());
    ZP_CHECK(!Probe::make(spec, ids, {}, {{2}, 0, {}, false}).ok());
    ZP_CHECK(!Probe::make(spec, ids, {}, {{0}, 71, {}, false}).ok());
    ZP_CHECK(!Probe::make(spec, ids, {}, {{0}, 0, {70}, false}).ok());
    for (int i = 0; i <= static_cast<int>(Point::kLogits); ++i) {
        const Point point = static_cast<Point>(i);
        ZP_CHECK(width_of(point, spec.n_layers, spec) == 0);
        ZP_CHECK((width_of(point, -1, spec) > 0) ==
                 (point == Point::kEmbeddingOutput || point == Point::kLogits));
    }
    ZP_CHECK(point_named("after_ffn") == Point::kAfterFfn);
    ZP_CHECK(!point_named("after").has_value());
}
