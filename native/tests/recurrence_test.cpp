// Operations of the recurrences: their values, and that the division of a text into passes and of channels
// among threads never changes a bit.
#include "model/recurrence/recurrence.hpp"

#include <cmath>
#include <random>
#include <vector>

#include "check.hpp"
#include "ops/recurrence/causal_convolution.hpp"

using namespace zp;
using namespace zp::test;

namespace {

std::vector<float> random_floats(size_t n, int seed) {
    std::mt19937 random(static_cast<uint32_t>(seed));
    std::normal_distribution<float> normal;
    std::vector<float> values(n);
    for (float& v : values) v = normal(random);
    return values;
}

constexpr int kChannels = 5, kKernel = 3, kTokens = 7;

struct Convolved {
    std::vector<float> y = std::vector<float>(kTokens * kChannels);
    std::vector<float> state = std::vector<float>((kKernel - 1) * kChannels);
    bool operator==(const Convolved&) const = default;
};

// Runs passes that end at the given tokens, channels divided at `split`.
Convolved convolve(const CausalConvolution& convolution, const std::vector<float>& x,
                   const std::vector<int>& ends, int split) {
    Convolved result;
    int first = 0;
    for (const int end : ends) {
        std::vector<float> next(result.state.size());
        const float* from = x.data() + first * kChannels;
        float* to = result.y.data() + first * kChannels;
        for (const auto& [begin_channel, end_channel] : {std::pair{0, split}, std::pair{split, kChannels}})
            convolution.run(from, kChannels, end - first, result.state.data(), next.data(), to, kChannels,
                            begin_channel, end_channel);
        result.state = next;
        first = end;
    }
    return result;
}

}  // namespace

ZP_TEST(causal_convolution_sums_the_last_positions_of_each_channel) {
    const auto weight = random_floats(kChannels * kKernel, 1), bias = random_floats(kChannels, 2);
    const auto x = random_floats(kTokens * kChannels, 3);
    const CausalConvolution convolution{kChannels, kKernel, weight.data(), bias.data()};
    ZP_EQ(convolution.n_state_floats(), 10u);
    const Convolved whole = convolve(convolution, x, {kTokens}, kChannels);
    for (int t = 0; t < kTokens; ++t) {
        for (int c = 0; c < kChannels; ++c) {
            float expected = bias[static_cast<size_t>(c)];
            for (int k = 0; k < kKernel; ++k)
                if (const int at = t - kKernel + 1 + k; at >= 0)
                    expected += weight[static_cast<size_t>(c * kKernel + k)] *
                                x[static_cast<size_t>(at * kChannels + c)];
            ZP_CHECK(whole.y[static_cast<size_t>(t * kChannels + c)] == expected);
        }
    }
    ZP_CHECK(std::equal(whole.state.begin(), whole.state.end(), x.end() - 2 * kChannels));
    ZP_CHECK(convolve(convolution, x, {1, 2, 3, 4, 5, 6, 7}, 2) == whole);
    ZP_CHECK(convolve(convolution, x, {3, 4, 7}, 1) == whole);
}

ZP_TEST(recurrences_reject_fields_out_of_range) {
    const auto refusal = [](const char* kind, std::map<std::string, double> fields) {
        const auto made = make_recurrence(kind, std::move(fields));
        return made.ok() ? "" : made.error().message;
    };
    ZP_EQ(refusal("short_convolution", {{"d_kernel", 3}}), "");
    ZP_EQ(refusal("short_convolution", {}), "d_kernel is missing");
    for (const double bad : {1.0, 65.0, 2.5, static_cast<double>(NAN)})
        ZP_EQ(refusal("short_convolution", {{"d_kernel", bad}}), "d_kernel must be an integer of 2 to 64");
    std::map<std::string, double> delta = {{"n_key_heads", 2},    {"n_value_heads", 4}, {"d_key", 8},
                                           {"d_value", 8},        {"d_kernel", 4},      {"norm_eps", 1e-6},
                                           {"has_tiled_heads", 0}};
    ZP_EQ(refusal("gated_delta_net", delta), "");
    delta["n_value_heads"] = 5;
    const auto made = make_recurrence("gated_delta_net", delta);
    ZP_EQ(made.value()->check("blocks[0].recurrence", 8).error().message,
          "blocks[0].recurrence.n_value_heads must be a multiple of n_key_heads");
    delta["d_key"] = 0;
    ZP_EQ(refusal("gated_delta_net", delta), "d_key must be an integer of 1 to 4096");
    std::map<std::string, double> mamba = {{"n_heads", 4},  {"d_head", 8},   {"d_state", 16},
                                           {"n_groups", 2}, {"d_kernel", 4}, {"norm_eps", 1e-5}};
    ZP_EQ(refusal("mamba2", mamba), "");
    mamba["n_groups"] = 3;
    ZP_EQ(make_recurrence("mamba2", mamba).value()->check("x", 16).error().message,
          "x.n_groups must divide n_heads");
    mamba["d_state"] = 0;
    ZP_EQ(refusal("mamba2", mamba), "d_state must be an integer of 1 to 4096");
    std::map<std::string, double> rwkv = {{"d_head", 8},     {"decay_rank", 4}, {"rate_rank", 4},
                                          {"value_rank", 0}, {"gate_rank", 4},  {"norm_eps", 64e-5}};
    ZP_EQ(refusal("rwkv7", rwkv), "");
    ZP_EQ(make_recurrence("rwkv7", rwkv).value()->check("x", 20).error().message,
          "x.d_head must divide d_model");
    rwkv["gate_rank"] = 0;
    ZP_EQ(refusal("rwkv7", rwkv), "gate_rank must be an integer of 1 to 65536");
    ZP_EQ(refusal("lstm", {}), "the native engine has no recurrence `lstm`");
}
