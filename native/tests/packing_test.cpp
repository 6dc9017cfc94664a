// The interleaved layout of weights: unpacking a row equals decoding the blocks of the file directly.
#include "kernels/packing.hpp"

#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "check.hpp"
#include "formats/half.hpp"

using namespace zp;

namespace {

float half_of(const uint8_t* p) { return half_to_float(static_cast<uint16_t>(p[0] | p[1] << 8)); }

// Bits [shift, shift + n) of a byte.
int bits(const uint8_t* byte, size_t shift, int n) { return *byte >> shift & ((1 << n) - 1); }

// Scale and minimum s from the twelve bytes of Q4_K and Q5_K.
std::pair<int, int> six_bits(const uint8_t* p, size_t s) {
    if (s < 4) return {p[s] & 63, p[4 + s] & 63};
    return {(p[4 + s] & 15) | p[s - 4] >> 6 << 4, p[4 + s] >> 4 | p[s] >> 6 << 4};
}

// The formats that this test decodes itself; tests/mirror compares newer ones with numpy.
constexpr Format kDecoded[] = {Format::kF32,  Format::kF16,  Format::kBF16, Format::kQ4_0,   Format::kQ4_1,
                               Format::kQ5_0, Format::kQ5_1, Format::kQ8_0, Format::kIQ4_NL, Format::kQ2_K,
                               Format::kQ3_K, Format::kQ4_K, Format::kQ5_K, Format::kQ6_K};

// Weight i of a block of 32, decoded by the format's specification.
float small_block_weight(Format format, const uint8_t* block, size_t i) {
    const float d = half_of(block), m = half_of(block + 2);
    const auto nibble = [&](size_t at) { return bits(block + at + i % 16, i < 16 ? 0 : 4, 4); };
    const auto fifth = [&](size_t at) { return bits(block + at + i / 8, i % 8, 1) << 4; };
    constexpr int kLevels[] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    switch (format) {
        case Format::kQ8_0:
            return static_cast<float>(static_cast<int8_t>(block[2 + i])) * d;
        case Format::kQ4_0:
            return static_cast<float>(nibble(2) - 8) * d;
        case Format::kQ4_1:
            return static_cast<float>(nibble(4)) * d + m;
        case Format::kQ5_0:
            return static_cast<float>((nibble(6) | fifth(2)) - 16) * d;
        case Format::kQ5_1:
            return static_cast<float>(nibble(8) | fifth(4)) * d + m;
        default:
            return static_cast<float>(kLevels[nibble(2)]) * d;  // IQ4_NL
    }
}

// Weight i of a block of 256, likewise.
float large_block_weight(Format format, const uint8_t* p, size_t i) {
    const size_t s32 = i / 32, l = i % 32, s16 = i / 16;  // 32 and 16 columns each
    const auto product = [](float unit, int scale) { return unit * static_cast<float>(scale); };
    if (format == Format::kQ2_K) {
        const int q = bits(p + 16 + 32 * (s32 / 4) + l, 2 * (s32 % 4), 2);
        return product(product(half_of(p + 80), p[s16] & 15), q) - product(half_of(p + 82), p[s16] >> 4);
    }
    if (format == Format::kQ3_K) {
        const int scale =
            bits(p + 96 + s16 % 8, s16 < 8 ? 0 : 4, 4) | bits(p + 104 + s16 % 4, 2 * (s16 / 4), 2) << 4;
        const int q = bits(p + 32 + 32 * (s32 / 4) + l, 2 * (s32 % 4), 2) | bits(p + l, s32, 1) << 2;
        return product(product(half_of(p + 108), scale - 32), q - 4);
    }
    if (format == Format::kQ6_K) {
        const int low = bits(p + 64 * (s32 / 4) + 32 * (s32 % 2) + l, s32 % 4 < 2 ? 0 : 4, 4);
        const int q = low | bits(p + 128 + 32 * (s32 / 4) + l, 2 * (s32 % 4), 2) << 4;
        return product(product(half_of(p + 208), static_cast<int8_t>(p[192 + s16])), q - 32);
    }
    const auto [scale, minimum] = six_bits(p + 4, s32);
    int q = bits(p + (format == Format::kQ4_K ? 16 : 48) + 32 * (s32 / 2) + l, s32 % 2 == 0 ? 0 : 4, 4);
    if (format == Format::kQ5_K) q |= bits(p + 16 + l, s32, 1) << 4;
    return product(product(half_of(p), scale), q) - product(half_of(p + 2), minimum);
}

// Decodes one block of a file.
std::vector<float> decode(Format format, const uint8_t* block) {
    std::vector<float> w(info(format).block_weights);
    switch (format) {
        case Format::kF32:
            std::memcpy(w.data(), block, 4);
            break;
        case Format::kF16:
            w[0] = half_of(block);
            break;
        case Format::kBF16:
            w[0] = bits_to_float(static_cast<uint32_t>(block[0] << 16 | block[1] << 24));
            break;
        default:
            for (size_t i = 0; i < w.size(); ++i)
                w[i] = w.size() == 32 ? small_block_weight(format, block, i)
                                      : large_block_weight(format, block, i);
    }
    return w;
}

std::vector<uint8_t> random_bytes(size_t n, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<uint8_t> bytes(n);
    for (uint8_t& b : bytes) b = static_cast<uint8_t>(random());
    return bytes;
}

// Equal bit for bit, or both NaN.
bool same(float a, float b) { return a == a ? float_to_bits(a) == float_to_bits(b) : b != b; }

std::vector<uint8_t> pack(Format format, const std::vector<uint8_t>& file, size_t rows, size_t cols) {
    const size_t n_groups = (rows + kGroupRows - 1) / kGroupRows;
    std::vector<uint8_t> packed(n_groups * packed_group_bytes(format, cols), 0);
    for (size_t g = 0; g < n_groups; ++g)
        pack_group(format, file.data(), rows, cols, g, packed.data() + g * packed_group_bytes(format, cols));
    return packed;
}

}  // namespace

ZP_TEST(packing_round_trips_every_row) {
    for (const Format format : kDecoded) {
        const FormatInfo& f = info(format);
        for (const size_t rows : {1, 15, 16, 17, 50}) {
            for (const size_t n_blocks : {1, 2, 5}) {
                const size_t cols = n_blocks * f.block_weights;
                const std::vector<uint8_t> file = random_bytes(rows * n_blocks * f.block_bytes, 7);
                const std::vector<uint8_t> packed = pack(f.format, file, rows, cols);
                std::vector<float> row(cols);
                int n_wrong = 0;
                for (size_t r = 0; r < rows; ++r) {
                    unpack_row(f.format, packed.data(), cols, r, row.data());
                    for (size_t k = 0; k < cols; ++k) {
                        const uint8_t* block =
                            file.data() + (r * n_blocks + k / f.block_weights) * f.block_bytes;
                        n_wrong += !same(row[k], decode(f.format, block)[k % f.block_weights]);
                    }
                }
                if (n_wrong > 0) std::fprintf(stderr, "%s %zu x %zu\n", f.name, rows, cols);
                ZP_EQ(n_wrong, 0);
            }
        }
    }
}

ZP_TEST(packing_uses_the_layout_that_kernels_read) {
    // Column 4 * i + j of row r at byte 4 * r + j of vector i, then 16 scales (and minimums): packed.hpp.
    // Only formats whose codes keep their order; the round trip tests the layout of the others.
    for (const Format format : {Format::kQ4_0, Format::kQ4_1, Format::kQ8_0, Format::kIQ4_NL}) {
        const FormatInfo& f = info(format);
        std::vector<uint8_t> file = random_bytes(16 * f.block_bytes, 3);
        const std::vector<uint8_t> packed = pack(f.format, file, 16, 32);
        const size_t n_halves = f.format == Format::kQ4_1 ? 2 : 1;
        const size_t n_codes = f.block_bytes - 2 * n_halves;
        for (size_t r = 0; r < 16; ++r) {
            const uint8_t* block = file.data() + r * f.block_bytes;
            for (size_t i = 0; i < n_codes; ++i) {
                const uint8_t expected = block[2 * n_halves + i] ^ (f.format == Format::kQ8_0 ? 0x80 : 0);
                ZP_EQ(packed[64 * (i / 4) + 4 * r + i % 4], expected);
            }
            for (size_t h = 0; h < n_halves; ++h)
                ZP_EQ(std::memcmp(packed.data() + 16 * n_codes + 32 * h + 2 * r, block + 2 * h, 2), 0);
        }
    }
}

ZP_TEST(packing_leaves_rows_past_the_last_zero) {
    for (const FormatInfo& f : kFormats) {
        const std::vector<uint8_t> file = random_bytes(17 * f.block_bytes, 5);
        const std::vector<uint8_t> packed = pack(f.format, file, 17, f.block_weights);
        std::vector<float> row(f.block_weights);
        for (size_t r = 17; r < 32; ++r) {
            unpack_row(f.format, packed.data(), f.block_weights, r, row.data());
            // With a zero scale every code decodes to zero.
            for (const float w : row) ZP_EQ(w, 0.0f);
        }
    }
}

ZP_TEST(packing_unpacks_plain_floats_in_file_order) {
    for (const FormatInfo& f : kFormats) {
        if (is_quantized(f.format)) continue;
        const std::vector<uint8_t> file = random_bytes(37 * f.block_bytes, 9);
        std::vector<float> out(37);
        unpack_floats(f.format, file.data(), 37, out.data());
        for (size_t i = 0; i < 37; ++i)
            ZP_CHECK(same(out[i], decode(f.format, file.data() + i * f.block_bytes)[0]));
    }
}
