// Products with every weight format equal the scalar ones bit for bit on every instruction set. Formats come
// from formats.def, so new ones are tested without an edit. tests/mirror compares them with numpy.
#include <cstring>

#include "kernel_inputs.hpp"
#include "kernels/packing.hpp"

using namespace zp;
using namespace zp::test;

namespace {

struct Weights {
    std::vector<uint8_t> bytes;
    int n_groups, n_cols;
    size_t group_bytes;
};

// Random rows in file layout. For kLarge, bytes have all bits set or none, which gives the largest sums.
std::vector<uint8_t> file_rows(const FormatInfo& f, size_t n_rows, size_t n_cols, Kind kind, Random& random) {
    const size_t n_blocks = n_cols / f.block_weights;
    std::vector<uint8_t> bytes;
    for (size_t b = 0; b < n_rows * n_blocks; ++b) {
        std::vector<uint8_t> block(f.block_bytes);
        if (f.format == Format::kF32 || f.format == Format::kBF16) {
            const uint32_t bits = float_to_bits(random.number(kind));
            std::memcpy(block.data(), reinterpret_cast<const uint8_t*>(&bits) + 4 - f.block_bytes,
                        f.block_bytes);
        } else {
            for (uint8_t& byte : block)
                byte = static_cast<uint8_t>(kind == Kind::kLarge ? (random.below(2) == 0 ? 255 : 0)
                                                                 : random.bits());
            for (const size_t at : half_offsets(f.format)) {
                const uint16_t half = random.half();
                std::memcpy(block.data() + at, &half, 2);
            }
            if (f.format == Format::kIQ1_M) block[f.block_bytes - 1] &= 0xbf;  // keeps the super-scale small
            if (f.format == Format::kMXFP4) block[0] = static_cast<uint8_t>(115 + random.below(25));
        }
        bytes.insert(bytes.end(), block.begin(), block.end());
    }
    return bytes;
}

Weights packed(const FormatInfo& f, int n_groups, int n_cols, Kind kind, Random& random) {
    const size_t rows = static_cast<size_t>(n_groups) * kGroupRows, cols = static_cast<size_t>(n_cols);
    const std::vector<uint8_t> file = file_rows(f, rows, cols, kind, random);
    Weights w{{}, n_groups, n_cols, packed_group_bytes(f.format, cols)};
    w.bytes.resize(w.group_bytes * static_cast<size_t>(n_groups));
    for (size_t g = 0; g < static_cast<size_t>(n_groups); ++g)
        pack_group(f.format, file.data(), rows, cols, g, w.bytes.data() + g * w.group_bytes);
    return w;
}

// The smallest number of columns that is a multiple of the block sizes of weights and activations.
int min_cols(const FormatInfo& f) { return std::max(kBlockCols, static_cast<int>(f.block_weights)); }

// Activations in the layout of the int8 kernels: integers from -127 to 127, for kLarge only these two. With
// two terms, one block in three has a residual.
std::vector<QuantBlock> activations(int n_tokens, size_t n_blocks, int n_terms, Kind kind, Random& random) {
    std::vector<QuantBlock> blocks(static_cast<size_t>(n_tokens * n_terms) * n_blocks);
    for (size_t i = 0; i < blocks.size(); ++i) {
        QuantBlock& block = blocks[i];
        if (n_terms == 2 && i % 2 == 1) {
            const size_t row = i / 2 / n_blocks * n_blocks, b = i / 2 % n_blocks;
            if (random.below(3) != 0) continue;
            blocks[2 * (row + b - b % kRunBlocks)].residual_mask |= 1 << b % kRunBlocks;
        }
        int sum = 0;
        for (int8_t& q : block.q) {
            q = static_cast<int8_t>(kind == Kind::kLarge ? (random.below(2) == 0 ? 127 : -127)
                                                         : random.below(255) - 127);
            sum += q;
            block.half_sums[&q - block.q < 16 ? 0 : 1] += q;
        }
        block.scale = kind == Kind::kZeros ? 0.0f : std::fabs(random.number(kind));
        block.scaled_sum = block.scale * static_cast<float>(sum);
    }
    return blocks;
}

size_t stride_of(int n_groups) { return static_cast<size_t>(kGroupRows * n_groups + 5); }

// Filled with a guard value, to detect writes outside the result.
std::vector<float> empty_output(int n_groups, int n_tokens) {
    return std::vector<float>(stride_of(n_groups) * static_cast<size_t>(n_tokens), -12345.0f);
}

std::string name(const Kernels& k, const FormatInfo& f, const char* how, Kind kind, const Weights& w,
                 int n_tokens) {
    return std::string(k.isa) + " " + f.name + " " + how + ", kind " +
           std::to_string(static_cast<int>(kind)) + ", " + std::to_string(w.n_groups) + " groups, " +
           std::to_string(w.n_cols) + " columns, " + std::to_string(n_tokens) + " tokens";
}

std::vector<float> run_int8(const Kernels& k, const FormatInfo& f, const Weights& w,
                            const std::vector<QuantBlock>& x, int n_terms, int n_tokens) {
    std::vector<float> y = empty_output(w.n_groups, n_tokens);
    k.matmul_int8[static_cast<int>(f.format)]({w.bytes.data(), w.group_bytes, w.n_groups,
                                               w.n_cols / kBlockCols, x.data(), n_terms, n_tokens, y.data(),
                                               stride_of(w.n_groups)});
    return y;
}

std::vector<float> run_float(const Kernels& k, const FormatInfo& f, const Weights& w,
                             const std::vector<float>& x, size_t x_stride, int n_tokens) {
    std::vector<float> y = empty_output(w.n_groups, n_tokens);
    k.matmul_float[static_cast<int>(f.format)]({w.bytes.data(), w.group_bytes, w.n_groups, w.n_cols, x.data(),
                                                x_stride, n_tokens, y.data(), stride_of(w.n_groups)});
    return y;
}

void compare_int8(const FormatInfo& f, Kind kind, int n_groups, int n_blocks) {
    Random random(static_cast<unsigned>(100 * n_groups + n_blocks));
    const Weights w = packed(f, n_groups, kBlockCols * n_blocks, kind, random);
    for (const int n_terms : {1, 2}) {
        for (const int n_tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, 19}) {
            const auto x = activations(n_tokens, static_cast<size_t>(n_blocks), n_terms, kind, random);
            const auto want = run_int8(*kernels_for("scalar"), f, w, x, n_terms, n_tokens);
            for (const Kernels* k : fast_kernels())
                expect_same(want, run_int8(*k, f, w, x, n_terms, n_tokens),
                            name(*k, f, n_terms == 1 ? "int8" : "int8 with residual", kind, w, n_tokens));
        }
    }
}

void compare_float(const FormatInfo& f, Kind kind, int n_groups, int n_cols) {
    Random random(static_cast<unsigned>(100 * n_groups + n_cols));
    const Weights w = packed(f, n_groups, n_cols, kind, random);
    const size_t x_stride = static_cast<size_t>(n_cols) + 3;
    for (const int n_tokens : {1, 2, 3, 4, 5, 6, 7, 8, 9, n_groups == 1 ? 37 : 10}) {
        const auto x = random.numbers(x_stride * static_cast<size_t>(n_tokens), kind);
        const auto want = run_float(*kernels_for("scalar"), f, w, x, x_stride, n_tokens);
        for (const Kernels* k : fast_kernels())
            expect_same(want, run_float(*k, f, w, x, x_stride, n_tokens),
                        name(*k, f, "float", kind, w, n_tokens));
    }
}

}  // namespace

ZP_TEST(matmul_int8_is_bit_equal_on_every_instruction_set) {
    for (const FormatInfo& f : kFormats) {
        for (const char* isa : kInstructionSets) {
            const Kernels* k = kernels_for(isa);
            if (k != nullptr)
                ZP_EQ(k->matmul_int8[static_cast<int>(f.format)] != nullptr, is_quantized(f.format));
        }
        if (!is_quantized(f.format)) continue;
        for (const Kind kind : kKinds)
            for (const int n_groups : {1, 2, 3})
                for (const int n : {1, 2, n_groups == 1 ? 19 : 5})
                    compare_int8(f, kind, n_groups, n * min_cols(f) / kBlockCols);
    }
}

// Outlier blocks have a residual: with it, the product is close to that of floats, and without it is not.
ZP_TEST(matmul_reads_residuals) {
    constexpr int kTokens = 9, kGroups = 2;
    const std::vector<const Kernels*> all = all_kernels();
    for (const FormatInfo& f : kFormats) {
        if (!is_quantized(f.format)) continue;
        const int n_blocks = 24, n_cols = n_blocks * kBlockCols;
        Random random(4);
        const Weights w = packed(f, kGroups, n_cols, Kind::kUsual, random);
        auto x = random.numbers(static_cast<size_t>(kTokens * n_cols), Kind::kUsual);
        for (int t = 0; t < kTokens; ++t)
            for (const int b : {3, 17 + t % 3})
                for (int i = 0; i < kBlockCols; ++i) x[t * n_cols + b * kBlockCols + i] *= 256.0f;
        for (const Kernels* k : all) {
            std::vector<QuantBlock> both(static_cast<size_t>(kTokens * n_blocks * 2));
            for (int t = 0; t < kTokens; ++t)
                k->quantize_with_residual(x.data() + t * n_cols, n_cols, both.data() + t * n_blocks * 2);
            std::vector<QuantBlock> coarse;
            for (size_t i = 0; i < both.size(); i += 2) coarse.push_back(both[i]);
            for (QuantBlock& block : coarse) block.residual_mask = 0;
            const auto want = run_float(*k, f, w, x, static_cast<size_t>(n_cols), kTokens);
            const auto error = [&](const std::vector<float>& got) {
                double squares = 0;
                for (size_t i = 0; i < got.size(); ++i) squares += std::pow(double(got[i]) - want[i], 2);
                return std::sqrt(squares);
            };
            ZP_CHECK(error(run_int8(*k, f, w, both, 2, kTokens)) <
                     0.05 * error(run_int8(*k, f, w, coarse, 1, kTokens)));
        }
    }
}

ZP_TEST(matmul_float_is_bit_equal_on_every_instruction_set) {
    for (const FormatInfo& f : kFormats) {
        for (const Kind kind : kKinds) {
            for (const int n_groups : {1, 2, 3}) {
                for (const int n : {1, 2, 3, 135})
                    compare_float(f, kind, n_groups,
                                  is_quantized(f.format) ? min_cols(f) * std::min(n, 5) : n);
            }
        }
    }
}

ZP_TEST(matmul_of_a_token_does_not_depend_on_the_batch) {
    constexpr int kTokens = 99;  // more than any kernel processes at once
    const std::vector<const Kernels*> all = all_kernels();
    for (const FormatInfo& f : kFormats) {
        Random random(3);
        const auto n_cols = static_cast<size_t>(19 * min_cols(f)), n_blocks = n_cols / kBlockCols;
        const Weights w = packed(f, 2, static_cast<int>(n_cols), Kind::kUsual, random);
        const auto floats = random.numbers(kTokens * n_cols, Kind::kUsual);
        const auto blocks = activations(kTokens, n_blocks, 2, Kind::kUsual, random);
        for (const Kernels* k : all) {
            const auto together = run_float(*k, f, w, floats, n_cols, kTokens);
            const auto rounded = is_quantized(f.format) ? run_int8(*k, f, w, blocks, 2, kTokens) : together;
            for (size_t t = 0; t < kTokens; ++t) {
                const std::vector<float> one(floats.begin() + static_cast<long>(n_cols * t), floats.end());
                const auto part = [&](const std::vector<float>& y) {
                    return std::vector<float>(y.begin() + static_cast<long>(stride_of(2) * t),
                                              y.begin() + static_cast<long>(stride_of(2) * (t + 1)));
                };
                expect_same(part(together), run_float(*k, f, w, one, n_cols, 1),
                            name(*k, f, "alone", Kind::kUsual, w, 1));
                if (!is_quantized(f.format)) continue;
                const std::vector<QuantBlock> own(blocks.begin() + static_cast<long>(2 * n_blocks * t),
                                                  blocks.end());
                expect_same(part(rounded), run_int8(*k, f, w, own, 2, 1),
                            name(*k, f, "alone", Kind::kUsual, w, 1));
            }
        }
    }
}
