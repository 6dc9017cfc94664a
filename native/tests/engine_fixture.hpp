// Opens an engine with the tiny model, builds requests and collects their answers.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "check.hpp"
#include "runtime/engine.hpp"
#include "tiny_model.hpp"

namespace zp::test {

inline const Interrupt kNever = [] { return false; };

struct Options {
    int n_threads = 1;
    const char* isa = "";
    bool is_exact = false;
    CacheType cache_type = CacheType::kInt16;
};

inline EngineConfig config_of(const std::string& path, const Options& options = {}) {
    return {{path}, tiny_spec(), {}, options.n_threads, options.isa, options.is_exact, options.cache_type};
}

inline std::unique_ptr<Engine> open(const TinyModel& model, const Options& options = {}) {
    return std::move(Engine::open(config_of(model.path, options)).value());
}

inline std::vector<int32_t> prompt_of(int n, int salt = 0) {
    std::vector<int32_t> ids;
    for (int i = 0; i < n; ++i) ids.push_back((7 * i + i * i % 11 + salt) % tiny_spec().n_vocab);
    return ids;
}

inline GenerateRequest request_of(std::vector<int32_t> prompt, int max_tokens, uint64_t seed = 3) {
    return {std::move(prompt),
            std::move(Sampler::make({{"temperature", {{"temperature", 0.9}}}}, seed).value()),
            {},
            max_tokens,
            true};
}

struct Answer {
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
    std::vector<std::vector<TokenLogprob>> top;
    Finish finish = Finish::kNone;
    int n_cached = 0;
    bool operator==(const Answer& other) const {
        return tokens == other.tokens && logprobs == other.logprobs;
    }
};

// Steps until no work is left. Returns the answers by request id.
inline std::map<int64_t, Answer> finish(Engine& engine, const Interrupt& interrupt = kNever) {
    std::map<int64_t, Answer> answers;
    while (engine.has_work()) {
        auto events = engine.step(interrupt);
        if (!events.ok()) {
            if (events.error().fault == Fault::kCancelled) continue;
            ZP_EQ(events.error().message, "");
            break;
        }
        for (const StepEvent& e : events.value()) {
            Answer& a = answers[e.request];
            if (e.token) a.tokens.push_back(*e.token);
            if (e.logprob) a.logprobs.push_back(*e.logprob);
            if (!e.top.empty()) a.top.push_back(e.top);
            a.finish = e.finish;
            a.n_cached = e.n_cached;
        }
    }
    return answers;
}

inline Answer answer(Engine& engine, GenerateRequest request, const Interrupt& interrupt = kNever) {
    const int64_t id = engine.submit(std::move(request)).value();
    return finish(engine, interrupt)[id];
}

inline std::vector<float> extended(Engine& engine, Sequence* sequence, std::span<const int32_t> ids) {
    std::vector<float> out(ids.size() * static_cast<size_t>(tiny_spec().n_vocab));
    ZP_CHECK(engine.extend(sequence, ids, out, kNever).ok());
    return out;
}

}  // namespace zp::test
