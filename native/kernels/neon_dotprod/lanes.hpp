// Lanes for AArch64 with SDOT: four int8 products at once, accumulated in 32 bits.
#pragma once

#include "kernels/arm/base_lanes.hpp"

namespace zp::neon_dotprod {

struct Lanes : arm::BaseLanes<Lanes> {
    static constexpr int kRowTile = 4;
    static constexpr int kWidenFrom = 0;
    static constexpr int kPrefetchBytes = 1536;
    static constexpr int kFloatTile = 3;
    static constexpr int kPanelTile = 6;
    static constexpr int kQueryTile = 3;
    static constexpr int kIntQueryTile = 3;
    static constexpr int kAccumulators = 8;
    static constexpr int kDeltaTile = 1;

    template <int kMaxCode, int kZeroPoint, int kPart>
    struct Dot {
        I acc;
        void start(const int16_t* half_sums) { acc = first_sums<kMaxCode, kZeroPoint, kPart>(half_sums); }
        template <int, int, int v>
        void add(Bytes w, const int8_t* q) {
            const int8x16_t x = vld1q_s8(q + v / 4 * 16);
            acc = map([x](auto sum, auto codes) { return vdotq_laneq_s32(sum, codes, x, v % 4); }, acc,
                      signed_codes<kMaxCode>(w));
        }
        I finish(const int16_t*) const { return acc; }
    };
};

}  // namespace zp::neon_dotprod
