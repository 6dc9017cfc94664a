#include "kernels/packing.hpp"

#include <cstring>

#include "formats/half.hpp"

namespace zp {

namespace {

// Bytes that lie before the codes of a block in the file: a half scale, and for Q4_1 a half minimum.
size_t head_bytes(Format format) { return format == Format::kQ4_1 ? 4 : 2; }
size_t code_bytes(Format format) { return info(format).block_bytes - head_bytes(format); }

void pack_block(Format format, const uint8_t* file_block, size_t row, uint8_t* out) {
    const size_t n_codes = code_bytes(format);
    const uint8_t* codes = file_block + head_bytes(format);
    // Q8_0 is stored as value + 128, since the integer kernels want unsigned weights.
    const uint8_t flip = format == Format::kQ8_0 ? 0x80 : 0;
    for (size_t i = 0; i < n_codes; ++i) out[64 * (i / 4) + 4 * row + i % 4] = codes[i] ^ flip;
    uint8_t* scales = out + kGroupRows * n_codes;
    for (size_t part = 0; part < head_bytes(format) / 2; ++part)
        std::memcpy(scales + 32 * part + 2 * row, file_block + 2 * part, 2);
}

float half_at(const uint8_t* p) {
    uint16_t bits;
    std::memcpy(&bits, p, 2);
    return half_to_float(bits);
}

float plain_at(Format format, const uint8_t* p) {
    uint16_t half;
    uint32_t word;
    switch (format) {
        case Format::kF32:
            std::memcpy(&word, p, 4);
            return bits_to_float(word);
        case Format::kF16:
            return half_at(p);
        default:
            std::memcpy(&half, p, 2);
            return bf16_to_float(half);
    }
}

void unpack_codes(Format format, const uint8_t* block, size_t row, float* out) {
    const size_t n_codes = code_bytes(format);
    const float scale = half_at(block + kGroupRows * n_codes + 2 * row);
    if (format == Format::kQ8_0) {
        for (size_t i = 0; i < n_codes; ++i)
            out[i] = static_cast<float>(block[64 * (i / 4) + 4 * row + i % 4] - 128) * scale;
        return;
    }
    const bool has_minimum = format == Format::kQ4_1;
    const float minimum = has_minimum ? half_at(block + kGroupRows * n_codes + 32 + 2 * row) : 0.0f;
    for (size_t i = 0; i < n_codes; ++i) {
        const uint8_t pair = block[64 * (i / 4) + 4 * row + i % 4];
        const int low = pair & 15;
        const int high = pair >> 4;
        out[i] =
            has_minimum ? static_cast<float>(low) * scale + minimum : static_cast<float>(low - 8) * scale;
        out[16 + i] =
            has_minimum ? static_cast<float>(high) * scale + minimum : static_cast<float>(high - 8) * scale;
    }
}

}  // namespace

void pack_group(Format format, const uint8_t* file_rows, size_t n_rows, size_t n_cols, size_t group,
                uint8_t* out) {
    const FormatInfo& f = info(format);
    const size_t n_blocks = n_cols / f.block_weights;
    const size_t file_row_bytes = n_blocks * f.block_bytes;
    const size_t packed_block_bytes = static_cast<size_t>(f.block_bytes) * kGroupRows;
    for (size_t row = 0; row < kGroupRows && kGroupRows * group + row < n_rows; ++row) {
        const uint8_t* source = file_rows + (kGroupRows * group + row) * file_row_bytes;
        for (size_t b = 0; b < n_blocks; ++b, source += f.block_bytes) {
            uint8_t* block = out + b * packed_block_bytes;
            if (is_quantized(format)) {
                pack_block(format, source, row, block);
            } else {
                std::memcpy(block + row * f.block_bytes, source, f.block_bytes);
            }
        }
    }
}

void unpack_row(Format format, const uint8_t* packed, size_t n_cols, size_t row, float* out) {
    const FormatInfo& f = info(format);
    const size_t packed_block_bytes = static_cast<size_t>(f.block_bytes) * kGroupRows;
    const uint8_t* block = packed + row / kGroupRows * packed_group_bytes(format, n_cols);
    const size_t lane = row % kGroupRows;
    for (size_t k = 0; k < n_cols; k += f.block_weights, block += packed_block_bytes) {
        if (is_quantized(format)) {
            unpack_codes(format, block, lane, out + k);
        } else {
            out[k] = plain_at(format, block + lane * f.block_bytes);
        }
    }
}

void unpack_floats(Format format, const uint8_t* file_values, size_t n, float* out) {
    const size_t step = info(format).block_bytes;
    for (size_t i = 0; i < n; ++i) out[i] = plain_at(format, file_values + i * step);
}

}  // namespace zp
