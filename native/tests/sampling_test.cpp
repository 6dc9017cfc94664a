// The sampler: known answers, ties, and rows that yield no token. tests/mirror/test_sampling.py compares it
// with the numpy reference.
#include <algorithm>
#include <cmath>
#include <limits>

#include "check.hpp"
#include "runtime/sampling/sampler.hpp"
#include "runtime/sampling/splitmix.hpp"

namespace zp {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

Sampler sampler_of(const std::vector<SamplerStep>& steps, uint64_t seed = 1) {
    return std::move(Sampler::make(steps, seed).value());
}

SamplerStep step(const char* name, double value) { return {name, {{name, value}}}; }

std::vector<float> applied(const std::vector<SamplerStep>& steps, std::vector<float> logits_V,
                           const std::vector<int32_t>& history = {}, size_t n_prompt = 0) {
    Sampler sampler = sampler_of(steps);
    sampler.apply(logits_V, history, n_prompt);
    return logits_V;
}

// A row with a peak every 97 ids, long enough to cross every block of the scans.
std::vector<float> wavy(size_t n_vocab) {
    std::vector<float> logits_V(n_vocab);
    for (size_t v = 0; v < n_vocab; ++v) logits_V[v] = static_cast<float>(v % 97) * 0.1f;
    return logits_V;
}

size_t n_finite(const std::vector<float>& logits_V) {
    size_t n = 0;
    for (float x : logits_V) n += std::isfinite(x);
    return n;
}

}  // namespace

ZP_TEST(splitmix_matches_the_published_sequence) {
    // First outputs of the reference implementation (Vigna, splitmix64.c) for seed 1234567.
    ZP_EQ(splitmix64(1234567, 0), 6457827717110365317ull);
    ZP_EQ(splitmix64(1234567, 1), 3203168211198807973ull);
    ZP_EQ(splitmix64(1234567, 2), 9817491932198370423ull);
    ZP_CHECK(uniform(0, 0) >= 0 && uniform(0, 0) < 1);
}

ZP_TEST(softmax_weights_are_accurate_to_two_ulps) {
    std::vector<float> logits_V(50000);
    for (size_t v = 0; v < logits_V.size(); ++v) logits_V[v] = -static_cast<float>(v) * 0.001f;
    Scratch scratch;
    softmax_weights(logits_V, 0, scratch);
    ZP_EQ(scratch.n_candidates, logits_V.size());
    double worst = 0;
    for (size_t i = 0; i < scratch.n_candidates; ++i) {
        const double expected = std::exp(static_cast<double>(scratch.logits[i]));
        worst = std::max(worst, std::fabs(scratch.weights[i] / expected - 1));
    }
    ZP_CHECK(worst <= 2 * std::numeric_limits<double>::epsilon());
    ZP_EQ(scratch.weights[0], 1.0);
}

ZP_TEST(greedy_breaks_ties_by_lowest_id) {
    Sampler sampler = sampler_of({step("temperature", 0)});
    std::vector<float> logits_V = wavy(1000);
    ZP_EQ(sampler.sample(logits_V, {}, 5), 96);
}

ZP_TEST(top_k_breaks_ties_by_lowest_id) {
    const std::vector<float> kept = applied({step("top_k", 3)}, {1, 2, 2, 2, 3, 0});
    ZP_CHECK(kept == std::vector<float>({-kInf, 2, 2, -kInf, 3, -kInf}));
    ZP_EQ(n_finite(applied({step("top_k", 700)}, wavy(5000))), 700u);
    ZP_EQ(n_finite(applied({step("top_k", 6000)}, wavy(5000))), 5000u);
}

ZP_TEST(top_p_keeps_the_fewest_that_reach_p) {
    // Four equal tokens have a quarter of the probability each: two of them reach exactly one half.
    ZP_CHECK(applied({step("top_p", 0.5)}, {1, 1, 1, 1}) == std::vector<float>({1, 1, -kInf, -kInf}));
    ZP_CHECK(applied({step("top_p", 0.51)}, {1, 1, 1, 1}) == std::vector<float>({1, 1, 1, -kInf}));
    ZP_EQ(n_finite(applied({step("top_p", 1e-9)}, wavy(5000))), 1u);
}

ZP_TEST(penalties_count_prompt_and_answer_as_documented) {
    const std::vector<int32_t> history = {0, 1, 1, 2};  // the first two are the prompt
    ZP_CHECK(applied({step("repetition_penalty", 2)}, {2, -2, 4, 8}, history, 2) ==
             std::vector<float>({1, -4, 2, 8}));
    ZP_CHECK(applied({step("presence_penalty", 1)}, {2, -2, 4, 8}, history, 2) ==
             std::vector<float>({2, -3, 3, 8}));
    ZP_CHECK(applied({step("frequency_penalty", 0.5)}, {2, -2, 4, 8}, history, 0) ==
             std::vector<float>({1.5, -3, 3.5, 8}));
}

ZP_TEST(penalties_ignore_ids_outside_the_row) {
    const std::vector<int32_t> history = {-1, 4, 2147483647};
    ZP_CHECK(applied({step("presence_penalty", 1)}, {1, 1, 1, 1}, history) ==
             std::vector<float>({1, 1, 1, 1}));
}

ZP_TEST(a_row_without_a_finite_maximum_yields_no_token) {
    for (const char* name : {"temperature", "top_k", "top_p", "min_p"}) {
        Sampler sampler = sampler_of({step(name, 1)});
        for (float bad : {kInf, std::numeric_limits<float>::quiet_NaN()}) {
            std::vector<float> logits_V = wavy(200);
            logits_V[150] = bad;
            ZP_EQ(sampler.sample(logits_V, {}, 0), -1);
        }
        std::vector<float> nothing(40, -kInf);
        ZP_EQ(sampler.sample(nothing, {}, 0), -1);
        ZP_EQ(sampler.sample({}, {}, 0), -1);
    }
}

ZP_TEST(extreme_logits_still_yield_a_token) {
    Sampler sampler = sampler_of({step("temperature", 1e-30), step("top_p", 0.9)});
    std::vector<float> logits_V = {-1e30f, 5.0f, 4.0f, 3.0f, 1.0f};
    ZP_EQ(sampler.sample(logits_V, {}, 3), 1);
}

ZP_TEST(a_draw_depends_only_on_seed_and_position) {
    Sampler first = sampler_of({}, 7), second = sampler_of({}, 7);
    std::vector<float> row = wavy(3000);
    for (uint64_t position = 100; position > 0; --position) {
        std::vector<float> again = wavy(3000);
        first.sample(row, {}, position - 1);
        ZP_EQ(first.sample(row, {}, position), second.sample(again, {}, position));
    }
}

ZP_TEST(an_invalid_step_is_an_error) {
    ZP_CHECK(!Sampler::make({step("top_x", 1)}, 0).ok());
    ZP_CHECK(!Sampler::make({{"top_k", {}}}, 0).ok());
    ZP_CHECK(!Sampler::make({step("top_p", 0)}, 0).ok());
    ZP_CHECK(!Sampler::make({step("min_p", 1.5)}, 0).ok());
    ZP_CHECK(!Sampler::make({step("temperature", std::nan(""))}, 0).ok());
    ZP_CHECK(!Sampler::make({step("mirostat_tau", 5)}, 0).ok());
    ZP_CHECK(!Sampler::make({step("mirostat", 5)}, 0).ok());
    ZP_CHECK(!Sampler::make({step("logit_bias", 1)}, 0).ok());
    ZP_CHECK(!Sampler::make({{"xtc", {{"xtc_probability", 1}, {"xtc_threshold", 0}}}}, 0).ok());
    ZP_CHECK(!Sampler::make({{"dry", {{"dry_multiplier", 1}, {"dry_base", 2}}}}, 0).ok());
    for (const char* name : {"top_k", "top_p", "min_p", "typical_p", "top_n_sigma", "temperature"})
        ZP_CHECK(Sampler::make({step(name, 1)}, 0).ok());
}

ZP_TEST(mirostat_follows_what_was_drawn) {
    // Eight equal tokens have 3 bits each. With a target of 2, mu starts at 4 and falls by 0.5 * (3 - 2) a
    // token, until it is below 3, where only the first token stays.
    Sampler sampler = sampler_of({{"mirostat", {{"mirostat_tau", 2}, {"mirostat_eta", 0.6}}}});
    for (uint64_t position = 0; position < 2; ++position) {
        std::vector<float> row(8, 0.0f);
        row[0] = 1e-6f;
        sampler.sample(row, {}, position);
        ZP_EQ(std::isinf(row[7]), false);
    }
    std::vector<float> row(8, 0.0f);
    row[0] = 1e-6f;
    ZP_EQ(sampler.sample(row, {}, 2), 0);
    ZP_CHECK(std::isinf(row[7]));
}

ZP_TEST(a_token_that_continues_a_repetition_is_penalized) {
    const std::vector<int32_t> history = {1, 2, 3, 4, 9, 1, 2, 3};
    Sampler sampler =
        sampler_of({{"dry", {{"dry_multiplier", 1}, {"dry_base", 2}, {"dry_allowed_length", 2}, {"9", 1}}}});
    std::vector<float> row(8, 0.0f);
    ZP_CHECK(sampler.apply(row, history));
    ZP_CHECK((row == std::vector<float>{0, 0, 0, 0, -2, 0, 0, 0}));  // 4 followed three tokens
    std::vector<float> after_breaker(8, 0.0f);
    ZP_CHECK(sampler.apply(after_breaker, std::vector<int32_t>{1, 2, 3, 9, 1, 2, 3, 9}));
    ZP_CHECK((after_breaker == std::vector<float>(8, 0.0f)));
}

}  // namespace zp
