// Attention over one chunk of positions with an online softmax across chunks (Milakov and Gimelshein,
// "Online normalizer calculation for softmax", 2018).
#pragma once

#include <type_traits>

#include "kernels/shared/attention_float.hpp"
#include "kernels/shared/attention_int.hpp"

namespace zp::shared {

template <class L, class E>
void attend(const AttendChunk& job) {
    constexpr bool kIsInt = std::is_same_v<E, int16_t> || std::is_same_v<E, int8_t>;
    if constexpr (kIsInt) attend_ints<L, E>(job);
    if constexpr (!kIsInt) attend_floats<L, E>(job);
}

// Sixteen rows at a time, so that their powers are lanes of two.
template <class L>
void merge(int n_rows, const Partial& all, const Partial& part, int d_value) {
    alignas(64) float keep[16], take[16];
    for (int row = 0; row < n_rows; row += 16) {
        const int n = n_rows - row < 16 ? n_rows - row : 16;
        const auto before = load_part<L>(all.peak + row, n), fresh = load_part<L>(part.peak + row, n);
        const auto peak = L::max(fresh, before);
        const auto kept = exp<L>(L::sub(before, peak)), taken = exp<L>(L::sub(fresh, peak));
        const auto total = L::add(L::mul(load_part<L>(all.total + row, n), kept),
                                  L::mul(load_part<L>(part.total + row, n), taken));
        store_part<L>(all.total + row, total, n);
        store_part<L>(all.peak + row, peak, n);
        L::store(keep, kept);
        L::store(take, taken);
        for (int r = 0; r < n; ++r) {
            const size_t at = static_cast<size_t>(row + r) * d_value;
            for (int k = 0; k < d_value; k += 16) {
                const auto add = L::mul(L::load(part.sum + at + k), L::set1(take[r]));
                L::store(all.sum + at + k, L::fma(L::load(all.sum + at + k), L::set1(keep[r]), add));
            }
        }
    }
}

template <class L>
void normalize(const float* sum, float total, int n, float* y) {
    const auto divisor = L::set1(total);
    for (int k = 0; k < n; k += 16)
        store_part<L>(y + k, L::div(load_part<L>(sum + k, n - k), divisor), n - k);
}

}  // namespace zp::shared
