// Looking inside a pass: rows copied out at named points. The names are those of blueprint/taps.py.
// With no sink set a point costs one comparison.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

namespace zp {

// What was seen at one point: [T, width], passes of one text one after the other.
struct TapRows {
    int width = 0;
    std::vector<float> values;
};

struct TapSink {
    std::unordered_set<std::string> wanted;
    std::map<std::string, TapRows> seen;

    void take(const std::string& name, const float* rows, size_t stride, int width, int n_rows) {
        if (!wanted.contains(name)) return;
        TapRows& into = seen[name];
        into.width = width;
        for (int r = 0; r < n_rows; ++r) {
            const float* row = rows + static_cast<size_t>(r) * stride;
            into.values.insert(into.values.end(), row, row + width);
        }
    }
};

}  // namespace zp
