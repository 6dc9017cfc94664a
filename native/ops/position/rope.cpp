#include "ops/position/rope.hpp"

#include <cmath>

namespace zp {

void rope_angles(const float* frequencies, int n_pairs, int position, float* cosines, float* sines) {
    for (int i = 0; i < n_pairs; ++i) {
        // The product is rounded to float as in the reference implementations.
        const float angle = static_cast<float>(position) * frequencies[i];
        cosines[i] = static_cast<float>(std::cos(static_cast<double>(angle)));
        sines[i] = static_cast<float>(std::sin(static_cast<double>(angle)));
    }
}

void rope_rotate(RopeLayout layout, const float* cosines, const float* sines, int n_pairs, float* head) {
    const int step = layout == RopeLayout::kInterleaved ? 2 : 1;
    const int apart = layout == RopeLayout::kInterleaved ? 1 : n_pairs;
    for (int i = 0; i < n_pairs; ++i) {
        float* a = head + i * step;
        float* b = a + apart;
        const float x = *a;
        const float y = *b;
        *a = x * cosines[i] - y * sines[i];
        *b = x * sines[i] + y * cosines[i];
    }
}

}  // namespace zp
