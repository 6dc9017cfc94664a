// Lattices: lists of points whose coordinates are levels of adjacent columns, so that one index stands for
// several weights. lattices.def lists them; Python reads them through the binding.
#pragma once

#include <cstdint>
#include <string_view>

namespace zp {

struct Lattice {
    std::string_view name;  // the first format that uses it
    int n_levels, n_columns, n_points;
    std::string_view gaps;

    // Calls take(point, rank) in order.
    template <class Take>
    constexpr void for_each_point(const Take& take) const {
        constexpr char kNoGap = '0', kSkip = '~';
        constexpr int kSkipped = 74;
        int rank = 0, point = 0;
        for (const char c : gaps) {
            rank += c == kSkip ? kSkipped : c - kNoGap;
            if (c != kSkip) take(point++, rank);
        }
    }
    // The level of a column of the point with this rank.
    constexpr int level(int rank, int column) const {
        for (int i = 0; i < column; ++i) rank /= n_levels;
        return rank % n_levels;
    }
};

inline constexpr Lattice kLattices[] = {
#define ZP_LATTICE(name, levels, columns, points, gaps) {name, levels, columns, points, gaps},
#include "formats/lattices.def"
#undef ZP_LATTICE
};

constexpr const Lattice& lattice(std::string_view name) {
    for (const Lattice& l : kLattices)
        if (l.name == name) return l;
    return kLattices[0];
}

}  // namespace zp
