// The kernels of every instruction set on this machine equal the scalar ones bit for bit, so that results do
// not depend on the machine. The scalar ones are compared with double arithmetic.
#include "kernels/kernels.hpp"

#include <cstring>

#include "kernel_inputs.hpp"

using namespace zp;
using namespace zp::test;

namespace {

const Kernels& scalar() { return *kernels_for("scalar"); }

// Lengths with all kinds of tails, and a realistic one.
constexpr int kLengths[] = {1, 2, 7, 15, 16, 17, 31, 33, 100, 576};

std::string name(const Kernels& k, const char* kernel, Kind kind, int n) {
    return std::string(k.isa) + " " + kernel + ", kind " + std::to_string(static_cast<int>(kind)) + ", n " +
           std::to_string(n);
}

// A vector followed by guard values that kernels must not touch.
std::vector<float> guarded(int n) { return std::vector<float>(static_cast<size_t>(n) + 16, -12345.0f); }

std::vector<QuantBlock> quantized(const Kernels& k, const std::vector<float>& x, bool with_residual) {
    const size_t n_blocks = x.size() / kBlockCols;
    std::vector<QuantBlock> out(n_blocks * (with_residual ? 2 : 1));
    if (with_residual) {
        k.quantize_with_residual(x.data(), static_cast<int>(x.size()), out.data());
    } else {
        k.quantize(x.data(), static_cast<int>(x.size()), out.data());
    }
    return out;
}

}  // namespace

ZP_TEST(kernels_rms_norm_is_bit_equal_on_every_instruction_set) {
    for (const Kernels* k : fast_kernels()) {
        for (const Kind kind : kKinds) {
            for (const int n : kLengths) {
                Random random(static_cast<unsigned>(n));
                const auto x = random.numbers(static_cast<size_t>(n), kind);
                const auto gain = random.numbers(static_cast<size_t>(n), Kind::kUsual);
                auto want = guarded(n), got = guarded(n);
                const bool is_finite = scalar().rms_norm(x.data(), gain.data(), 1e-5f, n, want.data());
                ZP_EQ(k->rms_norm(x.data(), gain.data(), 1e-5f, n, got.data()), is_finite);
                ZP_EQ(is_finite, kind != Kind::kLarge);  // the squares overflow
                expect_same(want, got, name(*k, "rms_norm", kind, n));
            }
        }
    }
}

ZP_TEST(kernels_rms_norm_follows_its_formula) {
    Random random(1);
    const auto x = random.numbers(576, Kind::kUsual), gain = random.numbers(576, Kind::kUsual);
    std::vector<float> y(576);
    ZP_CHECK(scalar().rms_norm(x.data(), gain.data(), 1e-5f, 576, y.data()));
    double squares = 0;
    for (const float v : x) squares += static_cast<double>(v) * v;
    for (size_t i = 0; i < y.size(); ++i)
        ZP_CHECK(std::fabs(y[i] - x[i] / std::sqrt(squares / 576 + 1e-5) * gain[i]) < 2e-6);
}

ZP_TEST(kernels_rms_norm_reports_nan_and_infinity) {
    const std::vector<const Kernels*> all = all_kernels();
    constexpr float kInf = std::numeric_limits<float>::infinity();
    for (const Kernels* k : all) {
        for (const float bad : {kInf, -kInf, std::numeric_limits<float>::quiet_NaN()}) {
            for (const size_t at : {0, 5, 16, 31, 32, 36}) {  // the last one is in the tail
                std::vector<float> x(37, 1.0f), y(37);
                x[at] = bad;
                ZP_CHECK(!k->rms_norm(x.data(), x.data(), 1e-5f, 37, y.data()));
            }
        }
    }
}

ZP_TEST(kernels_elementwise_are_bit_equal_on_every_instruction_set) {
    for (const Kernels* k : fast_kernels()) {
        for (const Kind kind : kKinds) {
            for (const int n : kLengths) {
                Random random(static_cast<unsigned>(n));
                const auto gate = random.numbers(static_cast<size_t>(n), kind);
                const auto up = random.numbers(static_cast<size_t>(n), kind);
                auto want = guarded(n), got = guarded(n);
                for (int a = 0; a < kActivations; ++a) {
                    scalar().gate[a](gate.data(), up.data(), n, want.data());
                    k->gate[a](gate.data(), up.data(), n, got.data());
                    expect_same(want, got, name(*k, "gate", kind, n));
                    scalar().activate[a](gate.data(), n, want.data());
                    k->activate[a](gate.data(), n, got.data());
                    expect_same(want, got, name(*k, "activate", kind, n));
                }
                for (const float* bias : {static_cast<const float*>(nullptr), gate.data()}) {
                    const bool is_finite =
                        scalar().layer_norm(up.data(), gate.data(), bias, 1e-5f, n, want.data());
                    ZP_EQ(k->layer_norm(up.data(), gate.data(), bias, 1e-5f, n, got.data()), is_finite);
                    expect_same(want, got, name(*k, "layer_norm", kind, n));
                }
                want = got = gate;
                scalar().softcap_in_place(30.0f, n, want.data());
                k->softcap_in_place(30.0f, n, got.data());
                expect_same(want, got, name(*k, "softcap_in_place", kind, n));
                scalar().exp(up.data(), n, want.data());
                k->exp(up.data(), n, got.data());
                expect_same(want, got, name(*k, "exp", kind, n));
                scalar().add_product(gate.data(), up.data(), n, want.data());
                k->add_product(gate.data(), up.data(), n, got.data());
                expect_same(want, got, name(*k, "add_product", kind, n));
                ZP_CHECK(is_same(k->dot(gate.data(), up.data(), n), scalar().dot(gate.data(), up.data(), n)));
                scalar().scale(1.7f, n, want.data());
                k->scale(1.7f, n, got.data());
                expect_same(want, got, name(*k, "scale", kind, n));
                scalar().add_scaled(up.data(), 0.3f, n, want.data());
                k->add_scaled(up.data(), 0.3f, n, got.data());
                expect_same(want, got, name(*k, "add_scaled", kind, n));
                want = guarded(n);
                got = guarded(n);
                scalar().add(gate.data(), n, want.data());
                k->add(gate.data(), n, got.data());
                expect_same(want, got, name(*k, "add", kind, n));
            }
        }
    }
}

ZP_TEST(kernels_activations_follow_their_formulas) {
    const double root = std::sqrt(2 / 3.14159265358979);
    for (int i = -1000; i <= 1000; ++i) {
        const float x = static_cast<float>(i) * 0.01f;
        const double wide = x;
        const double want[] = {std::max(wide, 0.0),
                               0.5 * wide * (1 + std::erf(wide / std::sqrt(2.0))),
                               0.5 * wide * (1 + std::tanh(root * (wide + 0.044715 * wide * wide * wide))),
                               wide / (1 + std::exp(-wide)),
                               1 / (1 + std::exp(-wide)),
                               std::log1p(std::exp(wide))};
        for (int a = 0; a < kActivations; ++a) {
            float y = 0;
            scalar().activate[a](&x, 1, &y);
            ZP_CHECK(std::fabs(y - want[a]) < 2e-6);
        }
    }
}

ZP_TEST(kernels_swiglu_follows_its_formula) {
    double worst = 0;
    const int silu = static_cast<int>(Activation::kSilu);
    for (int i = -1000; i <= 1000; ++i) {
        const float gate = static_cast<float>(i) * 0.0875f, up = 1.5f;
        float y = 0;
        scalar().gate[silu](&gate, &up, 1, &y);
        const double want = gate / (1 + std::exp(-static_cast<double>(gate))) * up;
        if (want != 0) worst = std::max(worst, std::fabs(y / want - 1));
    }
    ZP_CHECK(worst < 5e-7);
}

ZP_TEST(kernels_log_sum_exp_is_bit_equal_and_accurate) {
    for (const Kind kind : {Kind::kUsual, Kind::kWide, Kind::kTies, Kind::kZeros, Kind::kTiny}) {
        for (const int n : {1, 3, 16, 17, 40, 4099}) {
            Random random(static_cast<unsigned>(n));
            const auto x = random.numbers(static_cast<size_t>(n), kind);
            const float want = scalar().log_sum_exp(x.data(), n);
            for (const Kernels* k : fast_kernels()) ZP_CHECK(is_same(k->log_sum_exp(x.data(), n), want));
            const double peak = *std::max_element(x.begin(), x.end());
            double total = 0;
            for (const float v : x) total += std::exp(v - peak);
            ZP_CHECK(std::fabs(want - (peak + std::log(total))) <= 1e-6 * std::max(1.0, std::fabs(peak)));
        }
    }
}

ZP_TEST(kernels_quantize_is_bit_equal_on_every_instruction_set) {
    for (const Kernels* k : fast_kernels()) {
        for (const Kind kind : kKinds) {
            for (const size_t n_blocks : {1, 3, 18}) {
                for (const bool with_residual : {false, true}) {
                    Random random(static_cast<unsigned>(n_blocks));
                    const auto x = random.numbers(n_blocks * kBlockCols, kind);
                    const auto want = quantized(scalar(), x, with_residual),
                               got = quantized(*k, x, with_residual);
                    ZP_EQ(std::memcmp(want.data(), got.data(), want.size() * sizeof(QuantBlock)), 0);
                }
            }
        }
    }
}

ZP_TEST(kernels_quantize_follows_its_formula) {
    for (const Kind kind : {Kind::kUsual, Kind::kWide, Kind::kTies}) {
        Random random(2);
        auto x = random.numbers(64 * kBlockCols, kind);
        for (size_t b = 3; b < 64; b += 16)  // outlier columns, as in trained models
            for (size_t i = 0; i < kBlockCols; ++i) x[kBlockCols * b + i] *= 64.0f;
        const auto blocks = quantized(scalar(), x, true);
        float squares = 0;
        for (size_t b = 0; b < 64; ++b) squares += blocks[2 * b].scale * blocks[2 * b].scale;
        size_t n_residuals = 0;
        for (size_t b = 0; b < 64; ++b) {
            float peak = 0;
            for (size_t i = 0; i < kBlockCols; ++i) peak = std::max(peak, std::fabs(x[kBlockCols * b + i]));
            const QuantBlock& coarse = blocks[2 * b];
            const QuantBlock& rest = blocks[2 * b + 1];
            const bool has_residual =
                (blocks[2 * (b - b % kRunBlocks)].residual_mask >> b % kRunBlocks & 1) != 0;
            ZP_EQ(coarse.scale, peak / 127.0f);
            ZP_EQ(has_residual, coarse.scale * coarse.scale >= 4 * squares / 64);
            n_residuals += has_residual;
            // Half a quantization step, of 15 bits with a residual, else of 8.
            const double max_error = has_residual ? peak / 127.0 / 127.0 / 3.9 : peak / 127.0 / 1.99;
            int32_t sum = 0, half_sums[2] = {};
            for (size_t i = 0; i < kBlockCols; ++i) {
                const float value = x[kBlockCols * b + i];
                ZP_EQ(static_cast<int>(coarse.q[i]),
                      static_cast<int>(std::nearbyint(value * (127.0f / peak))));
                sum += coarse.q[i];
                half_sums[i / 16] += coarse.q[i];
                const double both = static_cast<double>(coarse.scale) * coarse.q[i] +
                                    static_cast<double>(rest.scale) * rest.q[i];
                ZP_CHECK(std::fabs(value - both) <= max_error);
                ZP_CHECK(has_residual || rest.q[i] == 0);
            }
            for (size_t h = 0; h < 2; ++h) ZP_EQ(static_cast<int32_t>(coarse.half_sums[h]), half_sums[h]);
            ZP_EQ(coarse.scaled_sum, coarse.scale * static_cast<float>(sum));
        }
        ZP_CHECK(n_residuals > 0 && n_residuals < 64);
    }
}

ZP_TEST(kernels_propagate_nan_and_infinity) {
    const std::vector<const Kernels*> all = all_kernels();
    constexpr float kInf = std::numeric_limits<float>::infinity();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (const Kernels* k : all) {
        for (const float bad : {kInf, -kInf, nan, -nan}) {
            for (const size_t at : {0, 1, 15, 16, 31}) {
                std::vector<float> x(3 * kBlockCols, 0.5f);
                x[kBlockCols + at] = bad;
                for (const bool with_residual : {false, true}) {
                    const auto blocks = quantized(*k, x, with_residual);
                    const auto want = quantized(scalar(), x, with_residual);
                    ZP_EQ(std::memcmp(want.data(), blocks.data(), want.size() * sizeof(QuantBlock)), 0);
                    const size_t n_terms = with_residual ? 2 : 1;
                    for (size_t b = 0; b < 3; ++b) ZP_EQ(std::isnan(blocks[n_terms * b].scale), b == 1);
                }
            }
        }
        for (const size_t at : {0, 1, 16, 19}) {
            std::vector<float> x(20, 1.0f), ones(20, 1.0f), y(20);
            x[at] = nan;
            ZP_CHECK(std::isnan(k->log_sum_exp(x.data(), 20)));
            for (int a = 1; a < kActivations; ++a) {  // relu(NaN) is 0: a comparison, not arithmetic
                k->gate[a](x.data(), ones.data(), 20, y.data());
                ZP_CHECK(std::isnan(y[at]));
            }
        }
    }
}

ZP_TEST(kernels_quantize_ties_to_even) {
    std::vector<float> x(kBlockCols, 0.0f);
    x[0] = 127.0f;
    const float ties[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 126.5f};
    std::copy(std::begin(ties), std::end(ties), x.begin() + 1);
    const QuantBlock block = quantized(scalar(), x, false)[0];
    const int expected[] = {127, 0, 2, 2, 0, -2, 126};
    for (size_t i = 0; i < 7; ++i) ZP_EQ(static_cast<int>(block.q[i]), expected[i]);
}
