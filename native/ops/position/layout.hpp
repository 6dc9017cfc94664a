// Which columns of a head a rotary position embedding turns together.
#pragma once

namespace zp {

enum class RopeLayout {
    kInterleaved,  // columns (2i, 2i + 1): Llama as GGUF stores it
    kHalf,         // columns (i, i + K/2): as Hugging Face stores it
};

}  // namespace zp
