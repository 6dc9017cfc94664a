#include "ops/cache_view.hpp"

#include <cmath>

#include "formats/half.hpp"
#include "kernels/kernels.hpp"

namespace zp {

namespace {

// Offsets of the elements of one position of one head.
struct ElementOffsets {
    size_t first;  // of element 0
    int odd;       // distance from an even element to the next odd one
    int pair;      // distance from an even element to the next even one

    size_t operator[](int k) const { return first + static_cast<size_t>(k / 2 * pair + k % 2 * odd); }
};

ElementOffsets key_offsets(const HeadLayout& layout, int position) {
    const int s = position % kChunk, tile = layout.key_tile(), at = s % tile;
    const size_t first = static_cast<size_t>(s - at) * layout.key_width();
    if (layout.is_int()) return {first + at * 2, 1, 2 * tile};
    return {first + at, tile, 2 * tile};
}

ElementOffsets value_offsets(const HeadLayout& layout, int position) {
    const int s = position % kChunk;
    const size_t width = static_cast<size_t>(padded(layout.d_head));
    if (layout.is_int()) return {s / 2 * 2 * width + s % 2, 2, 4};
    return {s * width, 1, 2};
}

// The largest |x| of a row, or NaN if one is not finite, which then propagates to every score. Compares bit
// patterns, which compilers vectorize.
float peak_of(const float* x, int n) {
    int32_t largest = 0;
    for (int k = 0; k < n; ++k) {
        const auto magnitude = static_cast<int32_t>(float_to_bits(x[k]) & 0x7fffffffu);
        largest = magnitude > largest ? magnitude : largest;
    }
    const float peak = bits_to_float(static_cast<uint32_t>(largest));
    return peak <= 3.4028234e38f ? peak : std::nanf("");
}

// Quantizes a row with its own scale: the largest magnitude becomes kMaxLevel.
template <class T>
void write_quantized(const float* x, int n, const ElementOffsets& at, T* out, float* step) {
    constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest, ties to even
    constexpr float kMaxLevel = sizeof(T) == 1 ? 127 : kMaxInt16Level;
    const float peak = peak_of(x, n);
    *step = peak / kMaxLevel;
    // Treats a tiny peak as zero, and NaN too: the scale propagates it.
    const float inverse = peak > 1e-36f ? kMaxLevel / peak : 0.0f;
    for (int k = 0; k < n; ++k)
        out[at[k]] = inverse > 0.0f ? static_cast<T>(x[k] * inverse + kToInteger - kToInteger) : T{0};
}

void write_row(CacheType type, const float* x, int n, const ElementOffsets& at, uint8_t* row, float* step) {
    uint16_t* halves = reinterpret_cast<uint16_t*>(row);
    switch (type) {
        case CacheType::kFloat:
            for (int k = 0; k < n; ++k) reinterpret_cast<float*>(row)[at[k]] = x[k];
            return;
        case CacheType::kHalf:
            for (int k = 0; k < n; ++k) halves[at[k]] = float_to_half(x[k]);
            return;
        case CacheType::kInt16:
            write_quantized(x, n, at, reinterpret_cast<int16_t*>(row), step);
            return;
        case CacheType::kInt8:
            write_quantized(x, n, at, reinterpret_cast<int8_t*>(row), step);
    }
}

void read_row(CacheType type, const uint8_t* row, const ElementOffsets& at, const float* step, int n,
              float* out) {
    const uint16_t* halves = reinterpret_cast<const uint16_t*>(row);
    for (int k = 0; k < n; ++k) {
        switch (type) {
            case CacheType::kFloat:
                out[k] = reinterpret_cast<const float*>(row)[at[k]];
                break;
            case CacheType::kHalf:
                out[k] = half_to_float(halves[at[k]]);
                break;
            case CacheType::kInt16:
                out[k] = static_cast<float>(reinterpret_cast<const int16_t*>(row)[at[k]]) * *step;
                break;
            case CacheType::kInt8:
                out[k] = static_cast<float>(reinterpret_cast<const int8_t*>(row)[at[k]]) * *step;
        }
    }
}

// The scale of a position, or null if the type has none.
float* scale_at(float* scales, int position) {
    return scales == nullptr ? nullptr : scales + position % kChunk;
}

}  // namespace

void write_key(const CacheView& cache, int layer, int head, int position, const float* key) {
    const HeadLayout& layout = cache.layout->place(layer).head;
    const HeadPage page = cache.head_page(layer, head, position / kChunk);
    const ElementOffsets at = key_offsets(layout, position);
    write_row(layout.type, key, layout.d_head, at, page.keys, scale_at(page.key_scales, position));
}

void write_value(const CacheView& cache, int layer, int head, int position, const float* value) {
    const HeadLayout& layout = cache.layout->place(layer).head;
    const HeadPage page = cache.head_page(layer, head, position / kChunk);
    write_row(layout.type, value, layout.d_head, value_offsets(layout, position), page.values,
              scale_at(page.value_scales, position));
}

void read_key(const CacheView& cache, int layer, int head, int position, float* out) {
    const HeadLayout& layout = cache.layout->place(layer).head;
    const HeadPage page = cache.head_page(layer, head, position / kChunk);
    read_row(layout.type, page.keys, key_offsets(layout, position), scale_at(page.key_scales, position),
             layout.d_head, out);
}

void read_value(const CacheView& cache, int layer, int head, int position, float* out) {
    const HeadLayout& layout = cache.layout->place(layer).head;
    const HeadPage page = cache.head_page(layer, head, position / kChunk);
    read_row(layout.type, page.values, value_offsets(layout, position), scale_at(page.value_scales, position),
             layout.d_head, out);
}

}  // namespace zp
