// IQ4_NL is packed like Q4_0; each nibble indexes a table of levels. Python: formats/iq4_nl.py.
#pragma once

#include "kernels/codes/bit_packing.hpp"
#include "kernels/codes/codec_common.hpp"

namespace zp::shared {

// The levels (kvalues_iq4nl of ggml-common.h, llama.cpp) + 128.
alignas(16) inline constexpr uint8_t kIQ4NLLevels[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                         129, 141, 153, 166, 181, 197, 217, 241};

template <class L>
struct Codec<Format::kIQ4_NL, L> : ScaleOnly<L> {
    static constexpr int kMaxCode = 255, kZeroPoint = 128;
    Codec(const uint8_t* packed, int) : ScaleOnly<L>{packed, packed + 256} {}
    template <int i>
    typename L::Bytes codes() const {
        return L::look_up(kIQ4NLLevels, nibbles<L, i>(this->codes_at));
    }
    static void pack(const uint8_t* file, size_t row, uint8_t* packed) {
        put_nibbles(columns_of_nibbles(file + 2), row, packed);
        put_half(file, row, packed + 256);
    }
};

}  // namespace zp::shared
