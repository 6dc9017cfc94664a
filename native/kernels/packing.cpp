#include "kernels/packing.hpp"

namespace zp {

namespace shared {

// Defined in shared/packing.hpp and instantiated in a translation unit per format (packing_unit.cpp.in).
template <Format format>
void pack_rows(const uint8_t* file_rows, size_t n_rows, size_t n_blocks, uint8_t* out);
template <Format format>
void unpack_row(const uint8_t* packed, size_t n_blocks, size_t lane, float* out);

}  // namespace shared

void pack_group(Format format, const uint8_t* file_rows, size_t n_rows, size_t n_cols, size_t group,
                uint8_t* out) {
    using Pack = void (*)(const uint8_t*, size_t, size_t, uint8_t*);
    static constexpr Pack kByFormat[] = {
#define ZP_FORMAT(e, ...) shared::pack_rows<Format::e>,
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
#define ZP_FORMAT(e, ...) shared::unpack_row<Format::e>,
#include "formats/formats.def"
#undef ZP_FORMAT
    };
    kByFormat[static_cast<int>(format)](packed + row / kGroupRows * packed_group_bytes(format, n_cols),
                                        n_cols / info(format).block_weights, row % kGroupRows, out);
}

void unpack_floats(Format format, const uint8_t* file_values, size_t n, float* out) {
    const size_t step = info(format).block_bytes;
    for (size_t i = 0; i < n; ++i) out[i] = plain_value(format, file_values + i * step);
}

}  // namespace zp
