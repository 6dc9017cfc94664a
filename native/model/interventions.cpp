#include "model/interventions.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace zp {

Result<Interventions> Interventions::make(std::vector<Intervention> interventions, const ModelSpec& spec) {
    Interventions result;
    for (const Intervention& e : interventions) {
        const int width = is_modifiable(e.tap) ? tap_width(e.tap, e.layer, spec) : 0;
        if (width == 0)
            return invalid("layer " + std::to_string(e.layer) +
                           " does not have this tap, or it cannot be modified");
        if (e.first_column < 0 || e.n_columns < 1 || e.n_columns > width - e.first_column)
            return invalid("an intervention modifies " + std::to_string(e.n_columns) +
                           " columns from column " + std::to_string(e.first_column) + "; its tap has " +
                           std::to_string(width));
        if (!e.addend.empty() && e.addend.size() != static_cast<size_t>(e.n_columns))
            return invalid("an intervention on " + std::to_string(e.n_columns) + " columns adds " +
                           std::to_string(e.addend.size()) + " numbers");
        const auto is_finite = [](float x) { return std::isfinite(x); };
        if (!is_finite(e.factor) || !std::all_of(e.addend.begin(), e.addend.end(), is_finite))
            return invalid("an intervention contains a number that is not finite");
        result.taps_.add(e.tap, e.layer);
    }
    result.interventions_ = std::move(interventions);
    return result;
}

void Interventions::apply(Tap tap, int layer, int position, int n_rows, float* rows, size_t stride) const {
    for (const Intervention& e : interventions_) {
        if (e.tap != tap || e.layer != layer) continue;
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
