#include "ops/recurrence/mamba2.hpp"

#include <algorithm>

namespace zp {

namespace {
constexpr int kBlockTokens = 64;  // tokens whose steps are prepared together
}

void Mamba2::run(const Kernels& kernels, const Io& io, int n_tokens, const float* state, float* next_state,
                 int begin, int end) const {
    float step[kBlockTokens], decay[kBlockTokens];
    const size_t inner = static_cast<size_t>(d_inner()), states = static_cast<size_t>(d_state);
    for (int head = begin; head < end; ++head) {
        const size_t h = static_cast<size_t>(head), at = h * n_head_floats();
        const size_t group = h / static_cast<size_t>(n_heads / n_groups);
        const float* const x = io.mixed + h * static_cast<size_t>(d_head);
        const float* const b = io.mixed + inner + group * states;
        const float* const c = b + static_cast<size_t>(n_groups) * states;
        for (int first = 0; first < n_tokens; first += kBlockTokens) {
            const int n = std::min(kBlockTokens, n_tokens - first);
            const size_t row = static_cast<size_t>(first);
            for (int t = 0; t < n; ++t)
                step[t] = io.step[(row + static_cast<size_t>(t)) * io.step_stride + h] + step_bias[h];
            kernels.activate[static_cast<int>(Activation::kSoftplus)](step, n, step);
            std::copy(step, step + n, decay);
            kernels.scale(rate[h], n, decay);
            kernels.exp(decay, n, decay);
            kernels.state_scan({b + row * io.mixed_stride, c + row * io.mixed_stride, io.mixed_stride, decay,
                                step, skip[h], x + row * io.mixed_stride, io.mixed_stride,
                                io.out + row * io.out_stride + h * static_cast<size_t>(d_head), io.out_stride,
                                n, d_state, d_head, (first == 0 ? state : next_state) + at, next_state + at});
        }
    }
}

}  // namespace zp
