// Packing and unpacking of one weight format; instantiated once per format (packing_unit.cpp.in).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/codes/codec_common.hpp"
#include "kernels/codes/one_lane.hpp"
#include "kernels/packing.hpp"

namespace zp::shared {

// Copies one row's block from the file's layout into a packed block of 16 rows.
template <Format format>
void pack_block(const uint8_t* file, size_t row, uint8_t* packed) {
    if constexpr (is_quantized(format)) {
        Codec<format, OneLane<0>>::pack(file, row, packed);
    } else {
        std::memcpy(packed + row * info(format).block_bytes, file, info(format).block_bytes);
    }
}

// Packs n_rows rows (at most 16) of n_blocks blocks each.
template <Format format>
void pack_rows(const uint8_t* file_rows, size_t n_rows, size_t n_blocks, uint8_t* out) {
    constexpr size_t kFileBytes = info(format).block_bytes;
    for (size_t b = 0; b < n_blocks; ++b, file_rows += kFileBytes, out += kPackedBytes<format>)
        for (size_t row = 0; row < n_rows; ++row)
            pack_block<format>(file_rows + row * n_blocks * kFileBytes, row, out);
}

// Columns 4 * i to 31 of a block.
template <class L, class Block, int i>
void unpack_columns(const Block& block, const float* scales, const float* minimums, float* out) {
    if constexpr (i < 8) {
        constexpr int part = Block::kParts == 1 ? 0 : i / 4;
        const uint32_t codes = block.template codes<i>();
        for (int j = 0; j < 4; ++j) {
            const float code = static_cast<float>(codes >> 8 * j & 255);
            out[j] = weight_of<L, Block::kRule, Block::kZeroPoint>(code, scales[part], minimums[part]);
        }
        unpack_columns<L, Block, i + 1>(block, scales, minimums, out + 4);
    }
}

template <Format format, int lane>
void unpack_lane(const uint8_t* packed, size_t n_blocks, float* out) {
    if constexpr (is_quantized(format)) {
        using L = OneLane<lane>;
        using Block = Codec<format, L>;
        constexpr int kLast = Block::kParts - 1;
        for (size_t b = 0; b < n_blocks; ++b, packed += kPackedBytes<format>) {
            for (int s = 0; s < Block::kSubBlocks; ++s, out += kBlockCols) {
                const Block block(packed, s);
                const float scales[2] = {block.template scale<0>(), block.template scale<kLast>()};
                const float minimums[2] = {block.template minimum<0>(), block.template minimum<kLast>()};
                unpack_columns<L, Block, 0>(block, scales, minimums, out);
            }
        }
    } else {
        for (size_t k = 0; k < n_blocks; ++k, packed += kPackedBytes<format>)
            out[k] = plain_value(format, packed + lane * info(format).block_bytes);
    }
}

template <Format format, int... lanes>
void unpack_lanes(const uint8_t* packed, size_t n_blocks, size_t lane, float* out) {
    using Unpack = void (*)(const uint8_t*, size_t, float*);
    static constexpr Unpack kByLane[] = {unpack_lane<format, lanes>...};
    kByLane[lane](packed, n_blocks, out);
}

// Row `lane` (0 to 15) of a packed group as floats.
template <Format format>
void unpack_row(const uint8_t* packed, size_t n_blocks, size_t lane, float* out) {
    unpack_lanes<format, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>(packed, n_blocks, lane, out);
}

}  // namespace zp::shared
