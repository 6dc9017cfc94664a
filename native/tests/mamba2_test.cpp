// The scan of Mamba-2: its kernel against double arithmetic and on every instruction set, and that neither
// the division of a text into passes nor of heads among threads changes a bit.
#include "ops/recurrence/mamba2.hpp"

#include <cmath>
#include <vector>

#include "kernel_inputs.hpp"

using namespace zp;
using namespace zp::test;

namespace {

using Floats = std::vector<float>;

constexpr int kHeads = 6, kGroups = 2, kTokens = 150;

// A layer with random weights, and its input.
struct Layer {
    Floats rates, bias, skip, mixed, step;
    Mamba2 net;

    Layer(int d_head, int d_state) {
        Random random(static_cast<unsigned>(7 + d_head + 31 * d_state));
        for (const float x : random.numbers(kHeads, Kind::kUsual)) rates.push_back(-std::exp(x));
        bias = random.numbers(kHeads, Kind::kUsual);
        skip = random.numbers(kHeads, Kind::kUsual);
        net.n_heads = kHeads;
        net.n_groups = kGroups;
        net.d_head = d_head;
        net.d_state = d_state;
        net.rate = rates.data();
        net.step_bias = bias.data();
        net.skip = skip.data();
        mixed = random.numbers(static_cast<size_t>(kTokens * net.n_channels()), Kind::kUsual);
        step = random.numbers(static_cast<size_t>(kTokens * kHeads), Kind::kUsual);
    }

    struct Result {
        Floats out, state;
        bool operator==(const Result&) const = default;
    };

    // Passes that end at the given tokens, the heads divided at `split`.
    Result run(const Kernels& kernels, const std::vector<int>& ends, int split) const {
        const size_t width = static_cast<size_t>(net.d_inner()), n = static_cast<size_t>(net.n_channels());
        Result result{Floats(kTokens * width), Floats(net.n_state_floats())};
        int first = 0;
        for (const int end : ends) {
            const size_t at = static_cast<size_t>(first);
            const Mamba2::Io io = {mixed.data() + at * n,          n,    step.data() + at * kHeads, kHeads,
                                   result.out.data() + at * width, width};
            Floats next(result.state.size(), -1.0f);
            net.run(kernels, io, end - first, result.state.data(), next.data(), 0, split);
            net.run(kernels, io, end - first, result.state.data(), next.data(), split, kHeads);
            result.state = next;
            first = end;
        }
        return result;
    }

    // The equations as they are written, in double.
    void expect_formula(const Result& got) const {
        const size_t n_values = static_cast<size_t>(net.d_head), n_states = static_cast<size_t>(net.d_state);
        const size_t width = static_cast<size_t>(net.d_inner()), n = static_cast<size_t>(net.n_channels());
        for (size_t h = 0; h < kHeads; ++h) {
            std::vector<double> s(n_states * n_values);
            for (size_t t = 0; t < kTokens; ++t) {
                const float* x = mixed.data() + t * n + h * n_values;
                const float* b = mixed.data() + t * n + width + h / (kHeads / kGroups) * n_states;
                const float* c = b + kGroups * n_states;
                const double dt = std::log1p(std::exp(double{step[t * kHeads + h]} + bias[h]));
                const double decay = std::exp(rates[h] * dt);
                for (size_t j = 0; j < n_values; ++j) {
                    double y = double{skip[h]} * x[j];
                    for (size_t i = 0; i < n_states; ++i) {
                        double& at = s[i * n_values + j];
                        at = at * decay + b[i] * dt * x[j];
                        y += at * c[i];
                    }
                    ZP_CHECK(std::fabs(y - got.out[t * width + h * n_values + j]) < 2e-3);
                }
            }
        }
    }
};

}  // namespace

ZP_TEST(mamba2_follows_its_equations_and_does_not_depend_on_passes_threads_or_instruction_sets) {
    std::vector<int> each(kTokens);
    for (int t = 0; t < kTokens; ++t) each[static_cast<size_t>(t)] = t + 1;
    for (const auto& [d_head, d_state] :
         {std::pair{1, 1}, std::pair{7, 5}, std::pair{33, 16}, std::pair{64, 3}}) {
        const Layer layer(d_head, d_state);
        const auto whole = layer.run(*kernels_for("scalar"), {kTokens}, kHeads);
        layer.expect_formula(whole);
        for (const Kernels* k : all_kernels()) {
            ZP_CHECK(layer.run(*k, {kTokens}, 1) == whole);
            ZP_CHECK(layer.run(*k, {1, 65, 66, kTokens}, 4) == whole);
            ZP_CHECK(layer.run(*k, each, 3) == whole);
        }
    }
}
