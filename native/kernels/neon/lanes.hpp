// Lanes for any AArch64 processor: int8 products are 16 bits wide and are added in pairs.
#pragma once

#include "kernels/arm/base_lanes.hpp"

namespace zp::neon {

struct Lanes : arm::BaseLanes<Lanes> {
    static constexpr int kRowTile = 2;
    static constexpr int kWidenFrom = 0;
    static constexpr int kPrefetchBytes = 1536;
    static constexpr int kFloatTile = 3;
    static constexpr int kPanelTile = 6;
    static constexpr int kQueryTile = 3;
    static constexpr int kIntQueryTile = 3;
    static constexpr int kAccumulators = 8;
    static constexpr int kDeltaTile = 1;

    // A product is at most kMaxMagnitude * 127, and the pair sums of kRun of them fit 16 bits: 8, a whole
    // block, for codes below 16. So often they are widened to 32 bits.
    template <int kMaxCode, int kZeroPoint, int kPart>
    struct Dot {
        static constexpr int kMaxMagnitude = kMaxCode < 128 ? kMaxCode : 128;
        static constexpr int kRun = 32767 / (2 * kMaxMagnitude * 127);
        arm::Four<int16x8_t> low, high;  // of either half of the codes' registers: two rows each
        I total;
        void start(const int16_t* half_sums) { total = first_sums<kMaxCode, kZeroPoint, kPart>(half_sums); }
        template <int i, int n, int v>
        void add(Bytes w, const int8_t* q) {
            int32_t four;
            __builtin_memcpy(&four, q + 4 * v, sizeof four);
            const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
            const arm::Four<int8x16_t> codes = signed_codes<kMaxCode>(w);
            if constexpr (i % kRun == 0) {
                low = map([x](auto p) { return vmull_s8(vget_low_s8(p), vget_low_s8(x)); }, codes);
                high = map([x](auto p) { return vmull_high_s8(p, x); }, codes);
            } else {
                low = map([x](auto p, auto sum) { return vmlal_s8(sum, vget_low_s8(p), vget_low_s8(x)); },
                          codes, low);
                high = map([x](auto p, auto sum) { return vmlal_high_s8(sum, p, x); }, codes, high);
            }
            if constexpr (i % kRun == kRun - 1 || i == n - 1)
                total = map([](auto sum, auto p, auto q) { return vpadalq_s16(sum, vpaddq_s16(p, q)); },
                            total, low, high);
        }
        I finish(const int16_t*) const { return total; }
    };
};

}  // namespace zp::neon
