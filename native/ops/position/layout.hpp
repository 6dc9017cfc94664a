// Which columns of a head a rotary position embedding rotates as a pair.
#pragma once

namespace zp {

enum class RopeLayout {
    kInterleaved,  // columns (2i, 2i + 1): Llama in GGUF files
    kHalf,         // columns (i, i + K/2): Hugging Face's layout
};

}  // namespace zp
