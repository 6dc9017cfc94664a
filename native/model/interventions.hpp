// Changing a pass: columns of the rows at a point become factor * column + addend. Steering vectors (Turner
// et al., "Activation Addition", 2023) and the silencing of a head or a feature (Michel et al., "Are Sixteen
// Heads Really Better than One?", 2019) are both of this kind.
#pragma once

#include <vector>

#include "base/status.hpp"
#include "model/taps.hpp"

namespace zp {

struct Edit {
    Point point = Point::kAfterFfn;
    int layer = 0;                             // -1: outside of blocks
    int first_position = 0, end_position = 0;  // half-open
    int first_column = 0, n_columns = 0;
    float factor = 1.0f;
    std::vector<float> addend;  // [n_columns], or empty for nothing
};

class Edits {
public:
    // Refuses a point that cannot be changed, columns that it does not have, and numbers that are not finite.
    static Result<Edits> make(std::vector<Edit> edits, const ModelSpec& spec);

    const PointSet& points() const { return points_; }
    // Changes rows [n_rows, stride] of tokens at `position` and after, edits in the order they were given.
    void apply(Point point, int layer, int position, int n_rows, float* rows, size_t stride) const;

private:
    std::vector<Edit> edits_;
    PointSet points_;
};

}  // namespace zp
