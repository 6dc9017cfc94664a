// Sinusoidal positions (Vaswani et al., "Attention Is All You Need", 2017, section 3.5):
// PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i + 1) = cos(p / 10000^(2i/D)).
#include <cmath>

#include "ops/position/encoding.hpp"

namespace zp {

namespace {

void add(std::span<const float>, int position, int d_model, float* row) {
    for (int column = 0; column < d_model; ++column) {
        const double angle = position * std::exp((column - column % 2) * (-std::log(10000.0) / d_model));
        row[column] += static_cast<float>(column % 2 == 0 ? std::sin(angle) : std::cos(angle));
    }
}

}  // namespace

extern const PositionEncoding kEncoding_sinusoidal;
const PositionEncoding kEncoding_sinusoidal{"sinusoidal", add, nullptr};

}  // namespace zp
