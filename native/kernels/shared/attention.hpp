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

// Processes 16 rows at a time, so that two vector exponentials serve all of them.
template <class L>
void merge(int n_rows, const Partial& all, const Partial& part, int d_value) {
    alignas(64) float old_factors[16], new_factors[16];
    for (int row = 0; row < n_rows; row += 16) {
        const int n = n_rows - row < 16 ? n_rows - row : 16;
        const auto old_peak = load_part<L>(all.peak + row, n), new_peak = load_part<L>(part.peak + row, n);
        const auto peak = L::max(new_peak, old_peak);
        const auto old_factor = exp<L>(L::sub(old_peak, peak)), new_factor = exp<L>(L::sub(new_peak, peak));
        const auto total = L::add(L::mul(load_part<L>(all.total + row, n), old_factor),
                                  L::mul(load_part<L>(part.total + row, n), new_factor));
        store_part<L>(all.total + row, total, n);
        store_part<L>(all.peak + row, peak, n);
        L::store(old_factors, old_factor);
        L::store(new_factors, new_factor);
        for (int r = 0; r < n; ++r) {
            const size_t at = static_cast<size_t>(row + r) * d_value;
            for (int k = 0; k < d_value; k += 16) {
                const auto add = L::mul(L::load(part.sum + at + k), L::set1(new_factors[r]));
                L::store(all.sum + at + k, L::fma(L::load(all.sum + at + k), L::set1(old_factors[r]), add));
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
