#include "kernels/packing.hpp"

#include <cstring>

#include "formats/half.hpp"
#include "kernels/codes/all.hpp"  // written at the build: codes/includes.cmake
#include "kernels/codes/one_lane.hpp"

namespace zp {

namespace {

using shared::Codes;
using shared::kPackedBytes;
using shared::OneLane;

// One row's block of the file into its place.
template <Format format>
void pack_block(const uint8_t* file, size_t row, uint8_t* packed) {
    if constexpr (is_quantized(format)) {
        Codes<format, OneLane<0>>::pack(file, row, packed);
    } else {
        std::memcpy(packed + row * info(format).block_bytes, file, info(format).block_bytes);
    }
}

template <Format format>
void pack_rows(const uint8_t* file_rows, size_t n_rows, size_t n_blocks, uint8_t* out) {
    constexpr size_t kFileBytes = info(format).block_bytes;
    for (size_t b = 0; b < n_blocks; ++b, file_rows += kFileBytes, out += kPackedBytes<format>)
        for (size_t row = 0; row < n_rows; ++row)
            pack_block<format>(file_rows + row * n_blocks * kFileBytes, row, out);
}

float plain_at(Format format, const uint8_t* p) {
    uint16_t half;
    uint32_t word;
    switch (format) {
        case Format::kF32:
            std::memcpy(&word, p, 4);
            return bits_to_float(word);
        case Format::kF16:
            std::memcpy(&half, p, 2);
            return half_to_float(half);
        default:
            std::memcpy(&half, p, 2);
            return bf16_to_float(half);
    }
}

// Columns 4 * i to 31 of a block.
template <class L, class Block, int i>
void unpack_columns(const Block& block, const float* scales, const float* minimums, float* out) {
    if constexpr (i < 8) {
        constexpr int part = Block::kParts == 1 ? 0 : i / 4;
        const uint32_t codes = block.template codes<i>();
        for (int j = 0; j < 4; ++j) {
            const float code = static_cast<float>(codes >> 8 * j & 255);
            out[j] = shared::weight_of<L, Block::kRule, Block::kZero>(code, scales[part], minimums[part]);
        }
        unpack_columns<L, Block, i + 1>(block, scales, minimums, out + 4);
    }
}

template <Format format, int lane>
void unpack_lane(const uint8_t* packed, size_t n_blocks, float* out) {
    if constexpr (is_quantized(format)) {
        using L = OneLane<lane>;
        using Block = Codes<format, L>;
        constexpr int kLast = Block::kParts - 1;
        for (size_t b = 0; b < n_blocks; ++b, packed += kPackedBytes<format>) {
            for (int s = 0; s < Block::kSpan; ++s, out += kBlockCols) {
                const Block block(packed, s);
                const float scales[2] = {block.template scale<0>(), block.template scale<kLast>()};
                const float minimums[2] = {block.template minimum<0>(), block.template minimum<kLast>()};
                unpack_columns<L, Block, 0>(block, scales, minimums, out);
            }
        }
    } else {
        for (size_t k = 0; k < n_blocks; ++k, packed += kPackedBytes<format>)
            out[k] = plain_at(format, packed + lane * info(format).block_bytes);
    }
}

template <Format format, int... lanes>
void unpack_lanes(const uint8_t* packed, size_t n_blocks, size_t lane, float* out) {
    using Unpack = void (*)(const uint8_t*, size_t, float*);
    static constexpr Unpack kByLane[] = {unpack_lane<format, lanes>...};
    kByLane[lane](packed, n_blocks, out);
}

}  // namespace

void pack_group(Format format, const uint8_t* file_rows, size_t n_rows, size_t n_cols, size_t group,
                uint8_t* out) {
    using Pack = void (*)(const uint8_t*, size_t, size_t, uint8_t*);
    static constexpr Pack kByFormat[] = {
#define ZP_FORMAT(e, ...) pack_rows<Format::e>,
#include "formats/formats.def"
#undef ZP_FORMAT
    };
    const FormatInfo& f = info(format);
    const size_t n_blocks = n_cols / f.block_weights;
    const size_t first = kGroupRows * group;
    const size_t n_left = n_rows > first ? n_rows - first : 0;
    kByFormat[static_cast<int>(format)](file_rows + first * n_blocks * f.block_bytes,
                                        n_left < kGroupRows ? n_left : kGroupRows, n_blocks, out);
}

void unpack_row(Format format, const uint8_t* packed, size_t n_cols, size_t row, float* out) {
    using Unpack = void (*)(const uint8_t*, size_t, size_t, float*);
    static constexpr Unpack kByFormat[] = {
#define ZP_FORMAT(e, ...) unpack_lanes<Format::e, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>,
#include "formats/formats.def"
#undef ZP_FORMAT
    };
    kByFormat[static_cast<int>(format)](packed + row / kGroupRows * packed_group_bytes(format, n_cols),
                                        n_cols / info(format).block_weights, row % kGroupRows, out);
}

void unpack_floats(Format format, const uint8_t* file_values, size_t n, float* out) {
    const size_t step = info(format).block_bytes;
    for (size_t i = 0; i < n; ++i) out[i] = plain_at(format, file_values + i * step);
}

}  // namespace zp
