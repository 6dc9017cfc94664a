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

template <class L>
inline void exp_two(float* x) {
    float lanes[16] = {x[0], x[1]};
    L::store(lanes, exp<L>(L::load(lanes)));
    x[0] = lanes[0];
    x[1] = lanes[1];
}

template <class L>
void merge(float* peak, float* total, float* sum, float part_peak, float part_total, const float* part_sum,
           int d_value) {
    const float new_peak = part_peak > *peak ? part_peak : *peak;
    float factors[] = {*peak - new_peak, part_peak - new_peak};
    exp_two<L>(factors);
    const float keep = factors[0], take = factors[1];
    *peak = new_peak;
    *total = *total * keep + part_total * take;
    for (int k = 0; k < d_value; k += 16) {
        const auto taken = L::mul(L::load(part_sum + k), L::set1(take));
        L::store(sum + k, L::fma(L::load(sum + k), L::set1(keep), taken));
    }
}

template <class L>
void normalize(const float* sum, float total, int n, float* y) {
    const auto divisor = L::set1(total);
    for (int k = 0; k < n; k += 16)
        store_part<L>(y + k, L::div(load_part<L>(sum + k, n - k), divisor), n - k);
}

}  // namespace zp::shared
