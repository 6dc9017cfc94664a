// The heads of RWKV-7: against double arithmetic and on every instruction set, and that neither the division
// of a text into passes nor of heads among threads changes a bit.
#include "ops/recurrence/rwkv7.hpp"

#include <cmath>
#include <vector>

#include "kernel_inputs.hpp"

using namespace zp;
using namespace zp::test;

namespace {

using Floats = std::vector<float>;

constexpr int kHeads = 3, kTokens = 40;
constexpr size_t kRows = kTokens;
enum Part : size_t {
    kReceptance,
    kKey,
    kValue,
    kDecay,
    kRate,
    kShare,
    kGate,
    kInputs,
    kRemoval = kInputs,
    kScan,
    kNormed,
    kParts
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// A layer with random weights, and its input.
struct Layer {
    size_t n_columns;
    Floats weights[8], inputs, first_value;
    Rwkv7 net;

    Layer(int d_head, bool is_first) : n_columns(static_cast<size_t>(kHeads * d_head)) {
        Random random(static_cast<unsigned>(3 + d_head));
        for (Floats& w : weights) w = random.numbers(n_columns, Kind::kUsual);
        inputs = random.numbers(kRows * kInputs * n_columns, Kind::kUsual);
        first_value = random.numbers(kRows * n_columns, Kind::kUsual);
        net.n_heads = kHeads;
        net.d_head = d_head;
        net.decay_bias = weights[0].data();
        net.rate_bias = weights[1].data();
        net.first_value_bias = is_first ? nullptr : weights[2].data();
        net.removal_scale = weights[3].data();
        net.replacement_scale = weights[4].data();
        net.bonus = weights[5].data();
        net.gain = weights[6].data();
        net.norm_bias = weights[7].data();
        net.norm_eps = 64e-5f;
    }

    float input(size_t t, Part part, size_t column) const {
        return inputs[(t * kInputs + part) * n_columns + column];
    }

    struct Result {
        Floats out, state, first_value;
        bool operator==(const Result&) const = default;
    };

    // Passes that end at the given tokens, the heads divided at `split`.
    Result run(const Kernels& kernels, const std::vector<int>& ends, int split) const {
        Result result{Floats(kRows * n_columns), Floats(net.n_state_floats()), first_value};
        int begin = 0;
        for (const int end : ends) {
            const size_t at = static_cast<size_t>(begin), n = static_cast<size_t>(end - begin);
            Floats rows(n * kParts * n_columns);
            for (size_t t = 0; t < n; ++t)
                for (size_t i = 0; i < kInputs * n_columns; ++i)
                    rows[t * kParts * n_columns + i] = inputs[(at + t) * kInputs * n_columns + i];
            const auto part = [&](Part p) { return rows.data() + p * n_columns; };
            const Rwkv7::Io io = {part(kReceptance),  part(kKey),
                                  part(kValue),       part(kDecay),
                                  part(kRate),        part(kShare),
                                  part(kGate),        part(kRemoval),
                                  part(kScan),        part(kNormed),
                                  kParts * n_columns, result.first_value.data() + at * n_columns,
                                  n_columns,          result.out.data() + at * n_columns,
                                  n_columns};
            Floats next(result.state.size(), -1.0f);
            net.run(kernels, io, end - begin, result.state.data(), next.data(), 0, split);
            net.run(kernels, io, end - begin, result.state.data(), next.data(), split, kHeads);
            result.state = next;
            begin = end;
        }
        return result;
    }

    // The equations as they are written, in double.
    void expect_formula(const Result& got) const {
        const size_t n = static_cast<size_t>(net.d_head);
        for (size_t h = 0; h < kHeads; ++h) {
            std::vector<double> s(n * n);  // [key, value]
            for (size_t t = 0; t < kRows; ++t) {
                std::vector<double> k(n), v(n), w(n), a(n), kappa(n), read(n);
                double squares = 0, own = 0;
                for (size_t i = 0; i < n; ++i) {
                    const size_t c = h * n + i;
                    v[i] = input(t, kValue, c);
                    if (net.first_value_bias != nullptr)
                        v[i] += sigmoid(double{input(t, kShare, c)} + weights[2][c]) *
                                (first_value[t * n_columns + c] - v[i]);
                    w[i] = std::exp(-std::exp(-0.5) * sigmoid(double{input(t, kDecay, c)} + weights[0][c]));
                    a[i] = sigmoid(double{input(t, kRate, c)} + weights[1][c]);
                    kappa[i] = double{input(t, kKey, c)} * weights[3][c];
                    squares += kappa[i] * kappa[i];
                    k[i] = input(t, kKey, c) * (1 + (a[i] - 1) * weights[4][c]);
                    own += input(t, kReceptance, c) * weights[5][c] * k[i];
                }
                for (double& x : kappa) x /= std::sqrt(squares);
                double mean = 0, variance = 0;
                for (size_t j = 0; j < n; ++j) {
                    double removed = 0;
                    for (size_t i = 0; i < n; ++i) removed += s[i * n + j] * kappa[i];
                    for (size_t i = 0; i < n; ++i) {
                        s[i * n + j] = s[i * n + j] * w[i] - a[i] * kappa[i] * removed + k[i] * v[j];
                        read[j] += s[i * n + j] * input(t, kReceptance, h * n + i);
                    }
                    mean += read[j] / static_cast<double>(n);
                }
                for (const double x : read) variance += (x - mean) * (x - mean) / static_cast<double>(n);
                for (size_t j = 0; j < n; ++j) {
                    const size_t c = h * n + j;
                    const double normed =
                        (read[j] - mean) / std::sqrt(variance + net.norm_eps) * weights[6][c] + weights[7][c];
                    const double y = (normed + own * v[j]) * input(t, kGate, c);
                    ZP_CHECK(std::fabs(y - got.out[t * n_columns + c]) < 2e-3 * (1 + std::fabs(y)));
                }
            }
        }
    }
};

}  // namespace

ZP_TEST(rwkv7_follows_its_equations_and_does_not_depend_on_passes_threads_or_instruction_sets) {
    std::vector<int> each(kTokens);
    for (int t = 0; t < kTokens; ++t) each[static_cast<size_t>(t)] = t + 1;
    for (const int d_head : {2, 7, 33, 64}) {
        for (const bool is_first : {false, true}) {
            const Layer layer(d_head, is_first);
            const auto whole = layer.run(*kernels_for("scalar"), {kTokens}, kHeads);
            layer.expect_formula(whole);
            for (const Kernels* k : all_kernels()) {
                ZP_CHECK(layer.run(*k, {kTokens}, 1) == whole);
                ZP_CHECK(layer.run(*k, {1, 17, 18, kTokens}, 2) == whole);
                ZP_CHECK(layer.run(*k, each, 1) == whole);
            }
        }
    }
}
