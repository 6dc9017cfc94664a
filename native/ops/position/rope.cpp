#include "ops/position/rope.hpp"

#include <cmath>

namespace zp {

namespace {

// Models are not trained beyond this position; only generation with a sliding window gets there, and the
// error of a float angle would exceed 1/128 radian.
constexpr int kLastRounded = 1 << 17;

}  // namespace

void rope_angles(const float* frequencies, int n_pairs, int position, float* cosines, float* sines) {
    for (int i = 0; i < n_pairs; ++i) {
        // Rounds the product to float, as the reference implementations do, while that is accurate enough.
        const double angle = position <= kLastRounded
                                 ? static_cast<double>(static_cast<float>(position) * frequencies[i])
                                 : static_cast<double>(position) * static_cast<double>(frequencies[i]);
        cosines[i] = static_cast<float>(std::cos(angle));
        sines[i] = static_cast<float>(std::sin(angle));
    }
}

void rope_rotate(RopeLayout layout, const float* cosines, const float* sines, int n_pairs, float* head) {
    const int step = layout == RopeLayout::kInterleaved ? 2 : 1;
    const int distance = layout == RopeLayout::kInterleaved ? 1 : n_pairs;
    for (int i = 0; i < n_pairs; ++i) {
        float* a = head + i * step;
        float* b = a + distance;
        const float x = *a;
        const float y = *b;
        *a = x * cosines[i] - y * sines[i];
        *b = x * sines[i] + y * cosines[i];
    }
}

}  // namespace zp
