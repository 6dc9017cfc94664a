// Guesses and masks for the next tokens: whatever they are, the answer is that of plain decoding.
#include <cmath>

#include "engine_fixture.hpp"

using namespace zp;
using namespace zp::test;

namespace {

// A guess of the tokens after `n` of `answer`, of which only the first n_right are right.
std::vector<int32_t> guess(const std::vector<int32_t>& answer, size_t n, size_t length, size_t n_right) {
    std::vector<int32_t> draft;
    for (size_t i = 0; i < length && n + i < answer.size(); ++i)
        draft.push_back((answer[n + i] + (i < n_right ? 0 : 1)) % tiny_spec().n_vocab);
    return draft;
}

// The answer with guesses of four tokens before every step, and how many steps it took.
std::pair<Answer, int> steered(Engine& engine, GenerateRequest request, const Answer& expected,
                               size_t n_right) {
    const int64_t id = engine.submit(std::move(request)).value();
    Answer answer;
    int n_steps = 0;
    while (engine.has_work()) {
        ZP_CHECK(engine.steer(id, {guess(expected.tokens, answer.tokens.size(), 4, n_right), {}}).ok());
        auto events = engine.step(kNever);
        ++n_steps;
        for (const StepEvent& e : events.value()) {
            if (e.request != id) continue;
            if (e.token) answer.tokens.push_back(*e.token);
            if (e.logprob) answer.logprobs.push_back(*e.logprob);
            answer.finish = e.finish;
        }
    }
    return {answer, n_steps};
}

std::vector<uint32_t> only(std::initializer_list<int> tokens) {
    std::vector<uint32_t> mask(mask_words(tiny_spec().n_vocab));
    for (const int token : tokens)
        mask[static_cast<size_t>(token) / 32] |= 1u << static_cast<unsigned>(token) % 32;
    return mask;
}

}  // namespace

ZP_TEST(engine_answers_the_same_with_right_and_wrong_guesses) {
    const TinyModel model(true);
    const auto request = [] { return request_of(prompt_of(120), 40); };
    for (const int window : {0, 30}) {
        for (const bool is_exact : {true, false}) {
            const auto open_one = [&] {
                EngineConfig config = config_of(model.path, {2, "", is_exact});
                config.spec.layers[0].attention.rule.window = window;
                return std::move(Engine::open(std::move(config)).value());
            };
            auto plain = open_one();
            const Answer expected = answer(*plain, request());
            ZP_EQ(expected.tokens.size(), 40u);
            for (const size_t n_right : {0u, 2u, 4u}) {
                auto engine = open_one();
                const auto [answer, n_steps] = steered(*engine, request(), expected, n_right);
                ZP_CHECK(answer == expected);
                ZP_CHECK(answer.finish == Finish::kLength);
                ZP_EQ(n_steps, n_right == 0 ? 40 : n_right == 2 ? 14 : 9);
                // Next to other texts, and from the cache that it left.
                engine->submit(request_of(prompt_of(200, 5), 60)).value();
                ZP_CHECK(steered(*engine, request(), expected, n_right).first == expected);
            }
        }
    }
}

ZP_TEST(engine_stops_within_guesses) {
    const TinyModel model(true);
    auto engine = open(model);
    const Answer expected = answer(*engine, request_of(prompt_of(50), 30));
    GenerateRequest request = request_of(prompt_of(50), 30);
    request.stop_ids.insert(expected.tokens[2]);
    const auto [stopped, n_steps] = steered(*engine, std::move(request), expected, 4);
    size_t first = 0;  // the stop token may come earlier, too
    while (expected.tokens[first] != expected.tokens[2]) ++first;
    ZP_CHECK(stopped.tokens ==
             std::vector<int32_t>(expected.tokens.begin(),
                                  expected.tokens.begin() + static_cast<std::ptrdiff_t>(first)));
    ZP_CHECK(stopped.finish == Finish::kStop);
    ZP_CHECK(n_steps <= 2);
    // The context ends within guesses, too.
    const int n_ctx = tiny_spec().n_ctx;
    const Answer last = answer(*engine, request_of(prompt_of(n_ctx - 3), 30));
    const auto [full, n] = steered(*engine, request_of(prompt_of(n_ctx - 3), 30), last, 4);
    ZP_CHECK(full == last);
    ZP_CHECK(full.finish == Finish::kLength);
}

ZP_TEST(engine_samples_only_tokens_that_a_mask_allows) {
    const TinyModel model(true);
    auto engine = open(model);
    const int64_t id = engine->submit(request_of(prompt_of(300), 6)).value();
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    while (engine->has_work()) {
        // The first token of the answer, and then a guess with a mask for each place.
        std::vector<uint32_t> masks = only({9});
        std::vector<int32_t> draft;
        if (!tokens.empty()) {
            draft = {9, 11};
            for (const uint32_t word : only({11})) masks.push_back(word);
            for (const uint32_t word : only({3, 4})) masks.push_back(word);
        }
        ZP_CHECK(engine->steer(id, {draft, masks}).ok());
        const auto events = engine->step(kNever);
        for (const StepEvent& e : events.value())
            if (e.token) {
                tokens.push_back(*e.token);
                logprobs.push_back(*e.logprob);
            }
    }
    ZP_EQ(tokens.size(), 6u);
    ZP_CHECK(std::vector<int32_t>(tokens.begin(), tokens.begin() + 3) == std::vector<int32_t>({9, 9, 11}));
    ZP_CHECK(tokens[3] == 3 || tokens[3] == 4);
    for (const float logprob : logprobs) ZP_CHECK(std::isfinite(logprob));  // under the model, without masks
    // A mask that excludes every token is an error, and ends the request.
    const int64_t other = engine->submit(request_of(prompt_of(20), 6)).value();
    ZP_CHECK(engine->steer(other, {{}, only({})}).ok());
    ZP_CHECK(!engine->step(kNever).ok());
    ZP_CHECK(!engine->has_work());
    ZP_CHECK(!engine->steer(engine->submit(request_of(prompt_of(20), 6)).value(), {{1}, only({1})}).ok());
    ZP_CHECK(engine->steer(999, {{1}, {}}).ok());  // unknown requests are ignored
}
