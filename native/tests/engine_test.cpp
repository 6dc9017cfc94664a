// Engine with the tiny model: requests, batches, cached prefixes, cancellation and errors.
#include <atomic>
#include <chrono>
#include <thread>

#include "engine_fixture.hpp"

using namespace zp;
using namespace zp::test;

namespace {

std::string refusal(EngineConfig config) {
    auto engine = Engine::open(std::move(config));
    return engine.ok() ? "opened" : engine.error().message;
}

bool has(const std::string& text, const char* words) { return text.find(words) != std::string::npos; }

}  // namespace

ZP_TEST(engine_reads_a_prompt_in_chunks_and_answers) {
    const TinyModel model(true);
    auto engine = open(model);
    ZP_CHECK(!engine->has_work());
    const int64_t id = engine->submit(request_of(prompt_of(300), 3)).value();
    std::vector<int> read;
    Finish last = Finish::kNone;
    int n_tokens = 0;
    while (engine->has_work()) {
        const auto events = engine->step(kNever);
        for (const StepEvent& e : events.value()) {
            ZP_EQ(e.request, id);
            ZP_EQ(e.n_prompt, 300);
            read.push_back(e.n_read);
            n_tokens += e.token.has_value();
            last = e.finish;
        }
    }
    ZP_CHECK(read == std::vector<int>({256, 300, 300, 300}));
    ZP_EQ(n_tokens, 3);
    ZP_CHECK(last == Finish::kLength);
    ZP_CHECK(engine->step(kNever).value().empty());
}

ZP_TEST(engine_answer_is_independent_of_isa_threads_and_batch) {
    for (const CacheType type : {CacheType::kFloat, CacheType::kHalf, CacheType::kInt16, CacheType::kInt8}) {
        const bool is_exact = type == CacheType::kFloat;
        const TinyModel model(true);
        auto reference = open(model, {1, "scalar", is_exact, type});
        const Answer expected = answer(*reference, request_of(prompt_of(200), 20));
        ZP_EQ(expected.tokens.size(), 20u);
        for (const char* isa : kInstructionSets) {
            if (kernels_for(isa) == nullptr) continue;
            for (const int n_threads : {1, 2, 3}) {
                auto engine = open(model, {n_threads, isa, is_exact, type});
                ZP_CHECK(answer(*engine, request_of(prompt_of(200), 20)) == expected);
                const int64_t first = engine->submit(request_of(prompt_of(150, 5), 30)).value();
                ZP_CHECK(engine->step(kNever).ok());
                const int64_t second = engine->submit(request_of(prompt_of(200), 20)).value();
                const int64_t third = engine->submit(request_of(prompt_of(270, 9), 2)).value();
                auto together = finish(*engine);
                ZP_CHECK(together[second] == expected);
                ZP_EQ(together[first].tokens.size(), 29u);
                ZP_EQ(together[third].tokens.size(), 2u);
            }
        }
    }
}

// Attention and feed-forward add to the same rows of the residual stream; the thread sanitizer runs this
// test.
ZP_TEST(engine_with_parallel_blocks_is_independent_of_threads) {
    const TinyModel model(true);
    const auto answer_on = [&](int n_threads) {
        EngineConfig config = config_of(model.path, {n_threads});
        for (LayerSpec& layer : config.spec.layers) layer.placement = Placement::kParallel;
        const auto engine = std::move(Engine::open(std::move(config)).value());
        return answer(*engine, request_of(prompt_of(70), 30));
    };
    const Answer alone = answer_on(1);
    ZP_EQ(alone.tokens.size(), 30u);
    for (const int n_threads : {2, 3})
        for (int run = 0; run < 5; ++run) ZP_CHECK(answer_on(n_threads) == alone);
}

// The second layer reads the keys and values of the first, whose values have a norm.
ZP_TEST(engine_with_shared_keys_is_independent_of_threads) {
    const TinyModel model(true);
    const auto answer_on = [&](int n_threads, int source) {
        EngineConfig config = config_of(model.path, {n_threads});
        config.spec.layers[0].attention.value_norm = {NormKind::kRms, 1e-5f};
        config.spec.layers[1].attention.source = source;
        const auto engine = std::move(Engine::open(std::move(config)).value());
        return answer(*engine, request_of(prompt_of(200), 20));
    };
    const Answer alone = answer_on(1, 0);
    ZP_EQ(alone.tokens.size(), 20u);
    for (const int n_threads : {2, 3}) ZP_CHECK(answer_on(n_threads, 0) == alone);
    ZP_CHECK(!(answer_on(1, AttentionSpec::kNoSource) == alone));
}

ZP_TEST(engine_answers_the_same_after_a_cached_prefix) {
    const TinyModel model(true);
    auto fresh = open(model);
    auto engine = open(model);
    std::vector<int32_t> prompt = prompt_of(90);
    const Answer first = answer(*engine, request_of(prompt, 8));
    ZP_EQ(first.n_cached, 0);
    prompt.insert(prompt.end(), first.tokens.begin(), first.tokens.end());
    for (const int32_t id : prompt_of(40, 3)) prompt.push_back(id);
    const Answer again = answer(*engine, request_of(prompt, 8));
    ZP_EQ(again.n_cached, 97);  // all but the last sampled token, which was never computed
    ZP_CHECK(again == answer(*fresh, request_of(prompt, 8)));
    // Again: everything but the last token of the prompt comes from the cache.
    const Answer cached = answer(*engine, request_of(prompt, 8));
    ZP_EQ(cached.n_cached, static_cast<int>(prompt.size()) - 1);
    ZP_CHECK(cached == again);
    // More conversations than the cache can keep: still the same answers.
    for (int salt = 20; salt < 32; ++salt)
        ZP_CHECK(answer(*engine, request_of(prompt_of(60, salt), 4)) ==
                 answer(*fresh, request_of(prompt_of(60, salt), 4)));
    ZP_CHECK(answer(*engine, request_of(prompt, 8)) == again);
}

ZP_TEST(engine_stops_at_stop_ids_and_at_the_end_of_the_context) {
    const TinyModel model(false);
    auto engine = open(model);
    const Answer free = answer(*engine, request_of(prompt_of(20), 12));
    GenerateRequest request = request_of(prompt_of(20), 12);
    request.stop_ids = {free.tokens[5]};
    const Answer stopped = answer(*engine, std::move(request));
    ZP_CHECK(stopped.finish == Finish::kStop);
    ZP_CHECK(stopped.tokens.size() <= 5);
    const Answer full = answer(*engine, request_of(prompt_of(590), 0));
    ZP_CHECK(full.finish == Finish::kLength);
    ZP_EQ(full.tokens.size(), 10u);
}

ZP_TEST(engine_reports_the_most_probable_tokens_on_request) {
    const TinyModel model(false);
    auto engine = open(model);
    const Answer plain = answer(*engine, request_of(prompt_of(20), 6));
    ZP_CHECK(plain.top.empty());
    GenerateRequest request = request_of(prompt_of(20), 6);
    request.sampler = std::move(Sampler::make({{"temperature", {{"temperature", 0.0}}}}, 1).value());
    request.n_top_logprobs = 3;
    const Answer greedy = answer(*engine, std::move(request));
    ZP_EQ(greedy.top.size(), 6u);
    for (size_t i = 0; i < greedy.top.size(); ++i) {
        ZP_EQ(greedy.top[i].size(), 3u);
        ZP_EQ(greedy.top[i][0].token, greedy.tokens[i]);
        ZP_EQ(greedy.top[i][0].logprob, greedy.logprobs[i]);
        ZP_CHECK(greedy.top[i][1].logprob >= greedy.top[i][2].logprob);
    }
    GenerateRequest too_many = request_of(prompt_of(20), 6);
    too_many.n_top_logprobs = tiny_spec().n_vocab + 1;
    ZP_CHECK(!engine->submit(std::move(too_many)).ok());
}

ZP_TEST(engine_cancels_one_request_and_continues_the_others) {
    const TinyModel model(true);
    auto engine = open(model);
    const Answer expected = answer(*engine, request_of(prompt_of(30), 10));
    const int64_t continued = engine->submit(request_of(prompt_of(30), 10)).value();
    const int64_t cancelled = engine->submit(request_of(prompt_of(400, 2), 50)).value();
    auto events = engine->step(kNever).value();
    engine->cancel(cancelled);
    engine->cancel(cancelled);
    engine->cancel(12345);
    auto answers = finish(*engine);
    ZP_CHECK(answers[cancelled].finish == Finish::kCancelled);
    ZP_CHECK(answers[cancelled].tokens.empty());
    std::vector<int32_t> tokens = {*events[0].token};
    tokens.insert(tokens.end(), answers[continued].tokens.begin(), answers[continued].tokens.end());
    ZP_CHECK(tokens == expected.tokens);
    // Cancelled before its first step, with no other request.
    engine->cancel(engine->submit(request_of(prompt_of(5), 2)).value());
    ZP_CHECK(engine->has_work());
    ZP_EQ(engine->step(kNever).value().size(), 1u);
    ZP_CHECK(!engine->has_work());
}

ZP_TEST(engine_continues_after_an_interrupt) {
    const TinyModel model(true);
    auto engine = open(model, {2, "", false});
    const Answer expected = answer(*engine, request_of(prompt_of(300, 4), 6));
    int n_calls = 0;
    const Interrupt every_third = [&] { return ++n_calls % 3 == 0; };
    auto other = open(model, {2, "", false});
    ZP_CHECK(answer(*other, request_of(prompt_of(300, 4), 6), every_third) == expected);
    ZP_CHECK(n_calls > 9);

    const Interrupt always = [] { return true; };
    const int64_t id = other->submit(request_of(prompt_of(100, 1), 5)).value();
    ZP_CHECK(other->step(always).error().fault == Fault::kCancelled);
    other->cancel(id);
    std::vector<float> scores(99);
    ZP_CHECK(other->score(prompt_of(100), scores, always).error().fault == Fault::kCancelled);
    Sequence* sequence = other->open_sequence().value();
    std::vector<float> logits(100 * 70);
    ZP_CHECK(other->extend(sequence, prompt_of(100), logits, always).error().fault == Fault::kCancelled);
    ZP_EQ(sequence->tokens.size(), 0u);
    other->close_sequence(sequence);
    ZP_CHECK(answer(*other, request_of(prompt_of(300, 4), 6)) == expected);
}

ZP_TEST(engine_extends_in_pieces_of_any_size_and_rolls_back) {
    const TinyModel model(true);
    for (const int n_threads : {1, 2}) {
        auto engine = open(model, {n_threads, "", false});
        const std::vector<int32_t> ids = prompt_of(150);
        const std::span<const int32_t> all(ids);
        Sequence* reference = engine->open_sequence().value();
        const auto expected = extended(*engine, reference, ids);
        Sequence* parts = engine->open_sequence().value();
        std::vector<float> got;
        for (size_t at = 0, n = 1; at < ids.size(); at += n, n = n % 37 + 5) {
            n = std::min(n, ids.size() - at);
            const auto part = extended(*engine, parts, all.subspan(at, n));
            got.insert(got.end(), part.begin(), part.end());
        }
        ZP_CHECK(got == expected);
        ZP_CHECK(engine->rollback(parts, 100).ok());
        extended(*engine, parts, prompt_of(70, 8));
        ZP_CHECK(engine->rollback(parts, 70).ok());
        const auto tail = extended(*engine, parts, all.subspan(50));
        ZP_CHECK(std::equal(tail.begin(), tail.end(), expected.begin() + 50 * 70));
        ZP_CHECK(!engine->rollback(parts, 151).ok());
        ZP_CHECK(!engine->rollback(parts, -1).ok());
        std::vector<float> none(451 * 70);
        ZP_CHECK(has(engine->extend(parts, prompt_of(451), none, kNever).error().message,
                     "601 tokens and the context holds 600"));
        ZP_EQ(parts->tokens.size(), 150u);
    }
}

ZP_TEST(engine_scores_match_its_logits) {
    const TinyModel model(false);
    auto engine = open(model, {2, "", true});
    const std::vector<int32_t> ids = prompt_of(80);
    std::vector<float> scores(79);
    ZP_CHECK(engine->score(ids, scores, kNever).ok());
    const auto logits = extended(*engine, engine->open_sequence().value(), ids);
    for (size_t t = 0; t < scores.size(); ++t) {
        double total = 0;
        for (size_t v = 0; v < 70; ++v) total += std::exp(static_cast<double>(logits[70 * t + v]));
        const double expected = logits[70 * t + static_cast<size_t>(ids[t + 1])] - std::log(total);
        ZP_CHECK(std::fabs(scores[t] - expected) < 1e-5);
    }
    ZP_CHECK(has(engine->score({}, {}, kNever).error().message, "0 tokens"));
    std::vector<float> many(601);
    ZP_CHECK(has(engine->score(prompt_of(602), many, kNever).error().message,
                 "602 tokens and the context holds 600"));
}

ZP_TEST(engine_rejects_what_it_cannot_run) {
    const TinyModel model(true);
    auto engine = open(model);
    const auto refused = [&](std::vector<int32_t> ids) {
        return engine->submit(request_of(std::move(ids), 1)).error().message;
    };
    ZP_CHECK(has(refused({}), "prompt is empty"));
    ZP_CHECK(has(refused({1, -1}), "token id -1 is outside the vocabulary of 70"));
    ZP_CHECK(has(refused({70}), "token id 70"));
    ZP_CHECK(has(refused(prompt_of(600)), "600 tokens and the context holds 600"));
    ZP_CHECK(!engine->has_work());

    const auto with = [&](auto change) {
        EngineConfig config = config_of(model.path);
        change(config);
        return refusal(std::move(config));
    };
    ZP_CHECK(has(with([](EngineConfig& c) { c.isa = "mmx"; }), "cannot run the instruction set mmx"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.paths = {"/no/such/file"}; }), "/no/such/file"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.layers.push_back(c.spec.layers[0]); }),
                 "tensor blocks.2.attention_norm.weight is missing"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.layers[0].ffn.d_ff = 64; }),
                 "has shape [96, 64]; the metadata says [64, 64]"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.layers[1].attention.n_kv_heads = 3; }),
                 "layers[1].attention.n_heads is 4; expected a multiple of n_kv_heads"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.n_vocab = 0; }), "n_vocab is 0"));
    ZP_CHECK(
        has(with([](EngineConfig& c) { c.spec.layers[0].norm.eps = std::nanf(""); }), "layers[0].norm.eps"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.rotations[0].frequencies.assign(9, 1.0f); }),
                 "more columns than layers[0].attention.d_head"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.rotations[0].frequencies[0] = INFINITY; }),
                 "rotations[0].frequencies contains a number that is not finite"));
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.layers[0].attention.n_heads = 258; }), "more than 128"));
    const auto with_second = [&](auto change) {
        return with([&](EngineConfig& c) { change(c.spec.layers[1]); });
    };
    ZP_CHECK(has(with([](EngineConfig& c) { c.spec.layers[0].attention.source = 0; }),
                 "layers[0].attention.source is 0; expected an earlier layer"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.attention.source = 0, l.attention.n_kv_heads = 4; }),
                 "layers[1].attention.source is 0, whose keys have another shape"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.attention.rotation = 1; }),
                 "layers[1].attention.rotation is 1; the model has 1 rotations"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.attention.temperature_slope = 0.1f; }),
                 "layers[1].attention.temperature_interval is 0; expected 1 to"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.attention.value_norm.kind = NormKind::kRms; }),
                 "layers[1].attention.value_norm.eps must be positive and finite"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.residual_scale = INFINITY; }),
                 "layers[1].residual_scale is not a finite number"));
    ZP_CHECK(has(with_second([](LayerSpec& l) { l.ffn.limit = -1; }),
                 "layers[1].ffn.limit must be finite and not negative"));
    ZP_CHECK(
        has(with_second([](LayerSpec& l) { l.ffn.kind = FfnKind::kNone, l.placement = Placement::kOutput; }),
            "layers[1] has no feed-forward"));
    ZP_CHECK(
        has(with([](EngineConfig& c) { c.paths.push_back(c.paths[0]); }), "is in two files of the model"));
}

ZP_TEST(engine_names_the_layer_that_produced_nan) {
    for (const bool is_quantized : {true, false}) {
        for (const bool is_exact : {true, false}) {
            for (const char* tensor : {"embedding", "blocks.1.attention_norm", "blocks.1.attention.query",
                                       "blocks.1.attention.key", "blocks.1.attention.value",
                                       "blocks.1.attention.output", "blocks.1.ffn_norm", "blocks.1.ffn.gate",
                                       "blocks.1.ffn.up", "blocks.1.ffn.down", "final_norm", "head"}) {
                const TinyModel model(is_quantized, [&](const std::string& name, std::vector<float>& w) {
                    if (name == std::string(tensor) + ".weight")
                        w[w.size() / 70 * static_cast<size_t>(prompt_of(2)[1])] = std::nanf("");
                });
                auto engine = open(model, {2, "", is_exact});
                engine->submit(request_of(prompt_of(70), 3)).value();
                const auto events = engine->step(kNever);
                ZP_CHECK(!events.ok() && events.error().fault == Fault::kNumeric);
                ZP_CHECK(!engine->has_work());
                std::vector<float> scores(69);
                const Status status = engine->score(prompt_of(70), scores, kNever);
                ZP_CHECK(!status.ok() && status.error().fault == Fault::kNumeric);
                const char* where = tensor[0] == 'b'   ? "layer 1"
                                    : tensor[0] == 'e' ? "the embedding"
                                                       : "logits";
                if (!events.ok()) ZP_CHECK(has(events.error().message, where));
                if (!status.ok()) ZP_CHECK(has(status.error().message, where));
            }
        }
    }
}

ZP_TEST(engine_waits_for_its_load_gate) {
    const TinyModel model(true);
    EngineConfig config = config_of(model.path, {.n_threads = 2});
    const auto load_gate = std::make_shared<LoadGate>();
    config.load_gate = load_gate;
    std::atomic<bool> is_open{false};
    std::unique_ptr<Engine> engine;
    std::thread opening([&] {
        engine = std::move(Engine::open(std::move(config)).value());
        is_open = true;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ZP_CHECK(!is_open);
    load_gate->open();
    opening.join();
    const auto ids = prompt_of(20);
    auto plain = open(model, {.n_threads = 2});
    ZP_CHECK(extended(*engine, engine->open_sequence({}).value(), ids) ==
             extended(*plain, plain->open_sequence({}).value(), ids));
}

ZP_TEST(engine_open_fails_when_its_load_gate_is_abandoned) {
    const TinyModel model(true);
    EngineConfig config = config_of(model.path, {.n_threads = 2});
    const auto load_gate = std::make_shared<LoadGate>();
    config.load_gate = load_gate;
    std::string message;
    std::thread opening([&] { message = refusal(std::move(config)); });
    load_gate->abandon();
    load_gate->open();
    opening.join();
    ZP_CHECK(has(message, "was cancelled"));
}
