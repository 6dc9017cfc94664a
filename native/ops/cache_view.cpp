#include "ops/cache_view.hpp"

#include <cmath>

#include "formats/half.hpp"
#include "kernels/kernels.hpp"

namespace zp {

namespace {

// Of a tile of keys, neighbouring columns lie 16 elements apart; of a row of values they touch.
constexpr int kKeyApart = 16;
constexpr int kValueApart = 1;

size_t key_at(const PageLayout& layout, int position) {
    const int s = position % kChunk;
    return static_cast<size_t>(s / 16 * 16) * layout.d_head + s % 16;
}

size_t value_at(const PageLayout& layout, int position) {
    return static_cast<size_t>(position % kChunk) * padded(layout.d_head);
}

// The step of a row of numbers, [-127, 127] steps each. Not finite where one of them is not, so that the
// damage shows in every score.
float step_of(const float* x, int n) {
    float peak = 0.0f;
    for (int k = 0; k < n; ++k) {
        if (!std::isfinite(x[k])) return x[k];
        peak = std::fmax(peak, std::fabs(x[k]));
    }
    return peak / 127.0f;
}

void write_int8(const float* x, int n, int apart, int8_t* out, float* step) {
    constexpr float kToInteger = 12582912.0f;  // 1.5 * 2^23: adding it rounds to the nearest, ties to even
    *step = step_of(x, n);
    const float by = *step > 0.0f && std::isfinite(*step) ? 1.0f / *step : 0.0f;
    for (int k = 0; k < n; ++k) {
        // A step too small to have a reciprocal would give more than 127 of them.
        const float steps = std::fmin(std::fmax(x[k] * by, -127.0f), 127.0f);
        out[apart * k] = static_cast<int8_t>(steps + kToInteger - kToInteger);
    }
}

void write_row(CacheType type, const float* x, int n, int apart, uint8_t* row, size_t at, float* step) {
    switch (type) {
        case CacheType::kFloat:
            for (int k = 0; k < n; ++k) reinterpret_cast<float*>(row)[at + apart * k] = x[k];
            return;
        case CacheType::kHalf:
            for (int k = 0; k < n; ++k)
                reinterpret_cast<uint16_t*>(row)[at + apart * k] = float_to_half(x[k]);
            return;
        case CacheType::kInt8:
            write_int8(x, n, apart, reinterpret_cast<int8_t*>(row) + at, step);
    }
}

void read_row(CacheType type, const uint8_t* row, size_t at, const float* step, int n, int apart,
              float* out) {
    for (int k = 0; k < n; ++k) {
        const size_t i = at + static_cast<size_t>(apart) * k;
        switch (type) {
            case CacheType::kFloat:
                out[k] = reinterpret_cast<const float*>(row)[i];
                break;
            case CacheType::kHalf:
                out[k] = half_to_float(reinterpret_cast<const uint16_t*>(row)[i]);
                break;
            case CacheType::kInt8:
                out[k] = static_cast<float>(reinterpret_cast<const int8_t*>(row)[i]) * *step;
        }
    }
}

// The step of a position, or null where the type has none.
float* step_at(float* steps, int position) { return steps == nullptr ? nullptr : steps + position % kChunk; }

}  // namespace

size_t PageLayout::element_bytes() const {
    return type == CacheType::kFloat ? 4 : type == CacheType::kHalf ? 2 : 1;
}

size_t PageLayout::key_bytes() const { return static_cast<size_t>(kChunk) * d_head * element_bytes(); }

size_t PageLayout::value_bytes() const {
    return static_cast<size_t>(kChunk) * padded(d_head) * element_bytes();
}

size_t PageLayout::head_bytes() const {
    const size_t steps = type == CacheType::kInt8 ? 2 * kChunk * sizeof(float) : 0;
    return key_bytes() + value_bytes() + steps;
}

HeadPage CacheView::head_page(int layer, int head, int page) const {
    uint8_t* keys =
        pages[page] + layout.head_bytes() * (static_cast<size_t>(layer) * layout.n_kv_heads + head);
    uint8_t* values = keys + layout.key_bytes();
    if (layout.type != CacheType::kInt8) return {keys, values, nullptr, nullptr};
    float* steps = reinterpret_cast<float*>(values + layout.value_bytes());
    return {keys, values, steps, steps + kChunk};
}

void write_key(const CacheView& cache, int layer, int head, int position, const float* key) {
    const HeadPage at = cache.head_page(layer, head, position / kChunk);
    write_row(cache.layout.type, key, cache.layout.d_head, kKeyApart, at.keys, key_at(cache.layout, position),
              step_at(at.key_steps, position));
}

void write_value(const CacheView& cache, int layer, int head, int position, const float* value) {
    const HeadPage at = cache.head_page(layer, head, position / kChunk);
    write_row(cache.layout.type, value, cache.layout.d_head, kValueApart, at.values,
              value_at(cache.layout, position), step_at(at.value_steps, position));
}

void read_key(const CacheView& cache, int layer, int head, int position, float* out) {
    const HeadPage at = cache.head_page(layer, head, position / kChunk);
    read_row(cache.layout.type, at.keys, key_at(cache.layout, position), step_at(at.key_steps, position),
             cache.layout.d_head, kKeyApart, out);
}

void read_value(const CacheView& cache, int layer, int head, int position, float* out) {
    const HeadPage at = cache.head_page(layer, head, position / kChunk);
    read_row(cache.layout.type, at.values, value_at(cache.layout, position),
             step_at(at.value_steps, position), cache.layout.d_head, kValueApart, out);
}

}  // namespace zp
