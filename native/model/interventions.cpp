#include "model/interventions.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace zp {

Result<Edits> Edits::make(std::vector<Edit> edits, const ModelSpec& spec) {
    Edits made;
    for (const Edit& e : edits) {
        const int width = is_writable(e.point) ? width_of(e.point, e.layer, spec) : 0;
        if (width == 0)
            return invalid("layer " + std::to_string(e.layer) + " has no such point that can be changed");
        if (e.first_column < 0 || e.n_columns < 1 || e.n_columns > width - e.first_column)
            return invalid("a change of columns " + std::to_string(e.first_column) +
                           " and after reaches past the " + std::to_string(width) + " columns of its point");
        if (!e.addend.empty() && e.addend.size() != static_cast<size_t>(e.n_columns))
            return invalid("a change of " + std::to_string(e.n_columns) + " columns adds " +
                           std::to_string(e.addend.size()) + " numbers");
        const auto is_finite = [](float x) { return std::isfinite(x); };
        if (!is_finite(e.factor) || !std::all_of(e.addend.begin(), e.addend.end(), is_finite))
            return invalid("a change of the pass holds a number that is not finite");
        made.points_.add(e.point, e.layer);
    }
    made.edits_ = std::move(edits);
    return made;
}

void Edits::apply(Point point, int layer, int position, int n_rows, float* rows, size_t stride) const {
    for (const Edit& e : edits_) {
        if (e.point != point || e.layer != layer) continue;
        const int begin = std::max(e.first_position - position, 0);
        const int end = std::min(e.end_position - position, n_rows);
        for (int r = begin; r < end; ++r) {
            float* row = rows + static_cast<size_t>(r) * stride + e.first_column;
            for (int c = 0; c < e.n_columns; ++c) row[c] *= e.factor;
            for (size_t c = 0; c < e.addend.size(); ++c) row[c] += e.addend[c];
        }
    }
}

}  // namespace zp
