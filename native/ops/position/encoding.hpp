// Positional encodings without weights, one per file of this folder. Each defines a constant named after its
// file, `const PositionEncoding kEncoding_sinusoidal`; the build lists them
// (native/cmake/position_encodings.cmake). RoPE, which the forward pass prepares once per token, is in
// rope.hpp.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace zp {

struct PositionEncoding {
    const char* kind;  // the Python spec's class in snake case, and the name of the file
    // Adds the encoding of `position` to one row of the embedding [d_model]; null if it does not act there.
    void (*add)(std::span<const float> options, int position, int d_model, float* row);
    // Rotates one head [d_head] of a query or key in place; null if it does not act there.
    void (*rotate)(std::span<const float> options, int position, int d_head, float* head);
};

// An encoding with the values of its spec's fields, in their order.
struct PositionOptions {
    const PositionEncoding* encoding = nullptr;  // null: none
    std::vector<float> options;
};

std::span<const PositionEncoding* const> position_encodings();

// The encoding of that kind; null if there is none.
const PositionEncoding* find_position_encoding(std::string_view kind);

}  // namespace zp
