// The gated delta rule: its kernel against double arithmetic and on every instruction set, and that neither
// the division of a text into passes nor of heads among threads changes a bit.
#include <cmath>
#include <vector>

#include "kernel_inputs.hpp"
#include "ops/recurrence/gated_delta_net.hpp"

using namespace zp;
using namespace zp::test;

namespace {

using Floats = std::vector<float>;

// T tokens of one head with keys of length 1, and a state.
struct RuleCase {
    int n_tokens, d_key, d_value;
    Floats q, k, v, dots, decay, share, state;

    RuleCase(int tokens, int key, int value) : n_tokens(tokens), d_key(key), d_value(value) {
        Random random(static_cast<unsigned>(1 + tokens + 31 * key + 977 * value));
        const size_t n = static_cast<size_t>(tokens), width = static_cast<size_t>(key);
        q = random.numbers(n * width, Kind::kUsual);
        k = random.numbers(n * width, Kind::kUsual);
        v = random.numbers(n * static_cast<size_t>(value), Kind::kUsual);
        const Floats a = random.numbers(n, Kind::kUsual), b = random.numbers(n, Kind::kUsual);
        for (size_t t = 0; t < n; ++t) {
            double squares = 0, product = 0;
            for (size_t i = 0; i < width; ++i) squares += double{k[t * width + i]} * k[t * width + i];
            for (size_t i = 0; i < width; ++i) {
                k[t * width + i] = static_cast<float>(k[t * width + i] / std::sqrt(squares + 1e-6));
                product += double{k[t * width + i]} * q[t * width + i];
            }
            dots.push_back(static_cast<float>(product));
            decay.push_back(std::exp(-std::fabs(a[t])));
            share.push_back(1 / (1 + std::exp(-b[t])));
        }
        state = random.numbers(width * static_cast<size_t>(value), Kind::kUsual);
    }

    DeltaRule rule(const float* from, float* to, float* out) const {
        const size_t stride = static_cast<size_t>(d_value);
        return {q.data(), k.data(), dots.data(), decay.data(), share.data(), v.data(), stride,
                out,      stride,   n_tokens,    d_key,        d_value,      from,     to};
    }
};

struct Result {
    Floats out, state;
    bool operator==(const Result&) const = default;
};

Result run(const Kernels& kernels, const RuleCase& c, bool is_in_place = false) {
    Result result{Floats(c.v.size()), is_in_place ? c.state : Floats(c.state.size(), -1.0f)};
    const float* from = is_in_place ? result.state.data() : c.state.data();
    kernels.delta_rule(c.rule(from, result.state.data(), result.out.data()));
    return result;
}

// The rule as it is written, in double.
void expect_formula(const RuleCase& c, const Result& got) {
    const size_t width = static_cast<size_t>(c.d_key), n_values = static_cast<size_t>(c.d_value);
    std::vector<double> s(c.state.begin(), c.state.end());
    for (size_t t = 0; t < static_cast<size_t>(c.n_tokens); ++t) {
        for (size_t j = 0; j < n_values; ++j) {
            double stored = 0, read = 0;
            for (size_t i = 0; i < width; ++i)
                stored += s[i * n_values + j] * c.decay[t] * c.k[t * width + i];
            const double u = c.share[t] * (c.v[t * n_values + j] - stored);
            for (size_t i = 0; i < width; ++i) {
                double& at = s[i * n_values + j];
                at = at * c.decay[t] + c.k[t * width + i] * u;
                read += at * c.q[t * width + i];
            }
            ZP_CHECK(std::fabs(read - got.out[t * n_values + j]) < 2e-4);
        }
    }
    for (size_t i = 0; i < s.size(); ++i) ZP_CHECK(std::fabs(s[i] - got.state[i]) < 2e-5);
}

constexpr int kKeyHeads = 2, kValueHeads = 6, kKeyWidth = 5, kValueWidth = 7, kTokens = 70;

// A layer with random weights, and its input.
struct Layer {
    Floats rates, bias, gain, qkv, gate, alpha, beta;
    GatedDeltaNet net;

    explicit Layer(bool has_tiled_heads) {
        Random random(5);
        for (const float x : random.numbers(kValueHeads, Kind::kUsual)) rates.push_back(-std::exp(x));
        bias = random.numbers(kValueHeads, Kind::kUsual);
        gain = random.numbers(kValueWidth, Kind::kUsual);
        net.n_key_heads = kKeyHeads;
        net.n_value_heads = kValueHeads;
        net.d_key = kKeyWidth;
        net.d_value = kValueWidth;
        net.has_tiled_heads = has_tiled_heads;
        net.norm_eps = 1e-6f;
        net.decay_rate = rates.data();
        net.alpha_bias = bias.data();
        net.norm = gain.data();
        const auto rows = [&](int n) {
            return random.numbers(static_cast<size_t>(kTokens * n), Kind::kUsual);
        };
        qkv = rows(net.n_channels());
        gate = rows(net.d_values());
        alpha = rows(kValueHeads);
        beta = rows(kValueHeads);
    }

    // Passes that end at the given tokens, the heads divided at `split`.
    Result run(const Kernels& kernels, const std::vector<int>& ends, int split) const {
        Floats decays = alpha, shares = beta;
        const size_t n_values = static_cast<size_t>(net.d_values());
        Result result{Floats(kTokens * n_values), Floats(net.n_state_floats())};
        Floats context(result.out.size());
        int first = 0;
        for (const int end : ends) {
            const size_t at = static_cast<size_t>(first);
            const GatedDeltaNet::Io io = {qkv.data() + at * static_cast<size_t>(net.n_channels()),
                                          static_cast<size_t>(net.n_channels()),
                                          gate.data() + at * n_values,
                                          n_values,
                                          decays.data() + at * kValueHeads,
                                          shares.data() + at * kValueHeads,
                                          kValueHeads,
                                          context.data() + at * n_values,
                                          n_values,
                                          result.out.data() + at * n_values,
                                          n_values};
            Floats next(result.state.size(), -1.0f);
            net.run(kernels, io, end - first, result.state.data(), next.data(), 0, split);
            net.run(kernels, io, end - first, result.state.data(), next.data(), split, kValueHeads);
            result.state = next;
            first = end;
        }
        return result;
    }
};

}  // namespace

ZP_TEST(kernels_delta_rule_is_bit_equal_on_every_instruction_set_and_follows_its_formula) {
    for (const int d_key : {1, 5, 64}) {
        for (const int d_value : {1, 16, 17, 40, 64}) {
            for (const int n_tokens : {1, 2, 9}) {
                const RuleCase c(n_tokens, d_key, d_value);
                const Result want = run(*kernels_for("scalar"), c);
                expect_formula(c, want);
                for (const Kernels* k : all_kernels()) {
                    ZP_CHECK(run(*k, c) == want);
                    ZP_CHECK(run(*k, c, true) == want);
                }
            }
        }
    }
}

ZP_TEST(kernels_delta_rule_of_no_tokens_changes_nothing) {
    const RuleCase c(0, 4, 4);
    for (const Kernels* k : all_kernels()) ZP_CHECK(run(*k, c, true).state == c.state);
}

ZP_TEST(gated_delta_net_does_not_depend_on_passes_threads_or_instruction_sets) {
    for (const bool has_tiled_heads : {false, true}) {
        const Layer layer(has_tiled_heads);
        const Result whole = layer.run(*kernels_for("scalar"), {kTokens}, kValueHeads);
        std::vector<int> each(kTokens);
        for (int t = 0; t < kTokens; ++t) each[static_cast<size_t>(t)] = t + 1;
        for (const Kernels* k : all_kernels()) {
            ZP_CHECK(layer.run(*k, {kTokens}, 1) == whole);
            ZP_CHECK(layer.run(*k, {1, 33, 34, kTokens}, 4) == whole);
            ZP_CHECK(layer.run(*k, each, 3) == whole);
        }
    }
}

ZP_TEST(gated_delta_net_heads_share_keys_in_groups_or_in_turns) {
    const Layer grouped(false), tiled(true);
    const Result g = grouped.run(best_kernels(), {kTokens}, 0), t = tiled.run(best_kernels(), {kTokens}, 0);
    const size_t n = grouped.net.n_head_floats();
    for (int head = 0; head < kValueHeads; ++head) {
        const bool has_same_key = head / 3 == head % 2;  // heads 0, 2, 3 and 5
        const size_t at = static_cast<size_t>(head) * n;
        const bool is_equal =
            std::equal(g.state.begin() + static_cast<long>(at), g.state.begin() + static_cast<long>(at + n),
                       t.state.begin() + static_cast<long>(at));
        ZP_EQ(is_equal, has_same_key);
    }
}
