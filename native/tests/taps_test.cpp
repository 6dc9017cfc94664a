// Taps and interventions: requests are validated, an intervention affects only its target, and its cache
// pages are not shared.
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

Intervention ablate_head(int layer, int head) {
    const int d_head = tiny_spec().layer(0).attention.d_head;
    return {Tap::kContext, layer, 0, 600, head * d_head, d_head, 0.0f, {}};
}

std::shared_ptr<const Interventions> make_interventions(std::vector<Intervention> interventions) {
    return std::make_shared<const Interventions>(
        std::move(Interventions::make(std::move(interventions), tiny_spec()).value()));
}

std::string refusal(const Intervention& intervention) {
    const auto result = Interventions::make({intervention}, tiny_spec());
    return result.ok() ? "" : result.error().message;
}

RecordedTap request_tap(Tap tap, int layer, std::vector<int> heads = {}) {
    RecordedTap r;
    r.tap = tap;
    r.layer = layer;
    r.heads = std::move(heads);
    return r;
}

std::vector<float> traced(Engine& engine, std::span<const int32_t> ids, RecordedTap request,
                          std::shared_ptr<const Interventions> interventions = nullptr) {
    TapRecorder recorder = std::move(TapRecorder::make(tiny_spec(), ids, {std::move(request)}, {}).value());
    ZP_CHECK(engine.trace(ids, recorder, std::move(interventions), kNever).ok());
    return recorder.recorded()[0].values;
}

struct ShortAnswer {
    std::vector<int32_t> tokens;
    int n_cached = 0;
};

ShortAnswer answer(Engine& engine, std::shared_ptr<const Interventions> interventions) {
    GenerateRequest request{
        ids_of(40), std::move(Sampler::make({}, 1).value()), {}, 6, false, std::move(interventions)};
    ZP_CHECK(engine.submit(std::move(request)).ok());
    ShortAnswer result;
    while (engine.has_work()) {
        const auto events = engine.step(kNever);
        for (const StepEvent& e : events.value()) {
            if (e.token) result.tokens.push_back(*e.token);
            result.n_cached = e.n_cached;
        }
    }
    return result;
}

}  // namespace

ZP_TEST(taps_show_an_ablated_head_and_unchanged_others) {
    const TinyModel model(true);
    auto engine = open(model);
    const auto ids = ids_of(300);  // more than one forward pass
    const auto spec = tiny_spec();
    const auto plain = traced(*engine, ids, request_tap(Tap::kContext, 0));
    const auto changed =
        traced(*engine, ids, request_tap(Tap::kContext, 0), make_interventions({ablate_head(0, 2)}));
    ZP_EQ(changed.size(), ids.size() * static_cast<size_t>(spec.layer(0).attention.n_query()));
    bool has_expected_values = true;
    for (size_t i = 0; i < changed.size(); ++i) {
        const bool is_ablated =
            static_cast<int>(i) % spec.layer(0).attention.n_query() / spec.layer(0).attention.d_head == 2;
        has_expected_values = has_expected_values && changed[i] == (is_ablated ? 0.0f : plain[i]);
    }
    ZP_CHECK(has_expected_values);
    ZP_CHECK(traced(*engine, ids, request_tap(Tap::kLogits, -1)) !=
             traced(*engine, ids, request_tap(Tap::kLogits, -1), make_interventions({ablate_head(0, 2)})));
}

ZP_TEST(taps_attention_weights_sum_to_one_within_the_window) {
    const int d_head = 8;
    const CacheLayout layout(CacheType::kHalf, {LayerCache::pages(1, d_head)});
    std::vector<uint8_t> memory(layout.groups().front().page_bytes);
    const PageTable table{memory.data()};
    const CacheView cache{&layout, &table};
    std::vector<float> q(d_head, 0.5f), key(d_head), weights(20);
    for (int s = 0; s < 20; ++s) {
        for (int k = 0; k < d_head; ++k) key[static_cast<size_t>(k)] = static_cast<float>((s * k) % 5) - 2.0f;
        write_key(cache, 0, 0, s, key.data());
        read_key(cache, 0, 0, s, weights.data());
        ZP_CHECK(std::equal(key.begin(), key.end(), weights.begin()));
    }
    const std::vector<float> keys = keys_of(cache, 0, 0, 20);
    attention_weights(keys.data(), d_head, {6, 0.0f}, 0, 19, q.data(), weights.data());
    ZP_CHECK(std::all_of(weights.begin(), weights.begin() + 14, [](float w) { return w == 0.0f; }));
    ZP_CHECK(std::all_of(weights.begin() + 14, weights.end(), [](float w) { return w > 0.0f; }));
    ZP_CHECK(std::fabs(std::accumulate(weights.begin(), weights.end(), 0.0f) - 1.0f) < 1e-6f);
    std::vector<float> capped(20);
    attention_weights(keys.data(), d_head, {6, 1.0f}, 0, 19, q.data(), capped.data());
    const auto spread = [](const std::vector<float>& w) { return *std::max_element(w.begin(), w.end()); };
    ZP_CHECK(spread(capped) < spread(weights));
}

ZP_TEST(interventions_do_not_share_cache_pages) {
    const TinyModel model(true);
    auto engine = open(model);
    const auto interventions = make_interventions({ablate_head(0, 1), ablate_head(1, 3)});
    const ShortAnswer plain = answer(*engine, nullptr);
    const ShortAnswer changed = answer(*engine, interventions);
    ZP_EQ(changed.n_cached, 0);
    ZP_CHECK(changed.tokens != plain.tokens);
    const ShortAnswer again = answer(*engine, nullptr);
    ZP_EQ(again.n_cached, 39);  // from the answer without interventions
    ZP_CHECK(again.tokens == plain.tokens);
    auto fresh = open(model);
    ZP_CHECK(answer(*fresh, interventions).tokens == changed.tokens);
    ZP_EQ(answer(*fresh, nullptr).n_cached, 0);
}

ZP_TEST(taps_and_interventions_that_do_not_fit_are_rejected) {
    const auto spec = tiny_spec();
    ZP_CHECK(refusal({Tap::kKey, 0, 0, 9, 0, 1, 0.0f, {}}).find("cannot be modified") != std::string::npos);
    ZP_CHECK(refusal({Tap::kContext, 2, 0, 9, 0, 1, 0.0f, {}}).find("cannot be modified") !=
             std::string::npos);
    ZP_CHECK(refusal({Tap::kContext, 0, 0, 9, 60, 5, 0.0f, {}}).find("its tap has 64") != std::string::npos);
    ZP_CHECK(refusal({Tap::kAfterFfn, 0, 0, 9, 0, 3, 1.0f, {1.0f}}).find("adds 1") != std::string::npos);
    ZP_CHECK(refusal({Tap::kAfterFfn, 0, 0, 9, 0, 1, NAN, {}}).find("not finite") != std::string::npos);
    const std::vector<int32_t> ids{1, 2};
    ZP_CHECK(!TapRecorder::make(spec, ids, {request_tap(Tap::kAfterFfn, -1)}, {}).ok());
    ZP_CHECK(!TapRecorder::make(spec, ids, {request_tap(Tap::kWeights, 0, {4})}, {}).ok());
    ZP_CHECK(!TapRecorder::make(spec, ids, {}, {{2}, 0, {}, false}).ok());
    ZP_CHECK(!TapRecorder::make(spec, ids, {}, {{0}, 71, {}, false}).ok());
    ZP_CHECK(!TapRecorder::make(spec, ids, {}, {{0}, 0, {70}, false}).ok());
    for (int i = 0; i <= static_cast<int>(Tap::kLogits); ++i) {
        const Tap tap = static_cast<Tap>(i);
        ZP_CHECK(tap_width(tap, spec.n_layers(), spec) == 0);
        ZP_CHECK((tap_width(tap, -1, spec) > 0) == (tap == Tap::kEmbeddingOutput || tap == Tap::kLogits));
    }
    ZP_CHECK(tap_named("after_ffn") == Tap::kAfterFfn);
    ZP_CHECK(!tap_named("after").has_value());
}
