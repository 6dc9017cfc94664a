// Positional encodings without weights: found by name, and equal to their formulas.
#include <cmath>
#include <string>
#include <vector>

#include "check.hpp"
#include "ops/position/encoding.hpp"

using namespace zp;

ZP_TEST(position_every_encoding_is_found_by_its_kind) {
    ZP_CHECK(!position_encodings().empty());
    for (const PositionEncoding* encoding : position_encodings()) {
        ZP_CHECK(find_position_encoding(encoding->kind) == encoding);
        ZP_CHECK(encoding->add != nullptr || encoding->rotate != nullptr);
    }
    ZP_CHECK(find_position_encoding("no_such_encoding") == nullptr);
}

ZP_TEST(position_sinusoidal_equals_its_formula) {
    constexpr int kModel = 6, kPosition = 17;
    std::vector<float> row(kModel, 1.0f);
    find_position_encoding("sinusoidal")->add({}, kPosition, kModel, row.data());
    for (int i = 0; i < kModel / 2; ++i) {
        const double angle = kPosition / std::pow(10000.0, 2.0 * i / kModel);
        ZP_CHECK(std::abs(row[static_cast<size_t>(2 * i)] - (1 + std::sin(angle))) < 1e-6);
        ZP_CHECK(std::abs(row[static_cast<size_t>(2 * i + 1)] - (1 + std::cos(angle))) < 1e-6);
    }
}
