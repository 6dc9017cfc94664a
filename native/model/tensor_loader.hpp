// How a part of a model asks for its tensors while the weights are loaded.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/matrix.hpp"

namespace zp {

// Targets must not move until the weights are read. A missing tensor, or one of another shape, makes the load
// fail with a sentence that names it.
class TensorLoader {
public:
    // Whether the model has this tensor; ask for optional ones only.
    virtual bool has(const std::string& name) const = 0;
    // `name`.weight [rows, cols] and, if the model has it, `name`.bias [rows].
    virtual void linear(const std::string& name, int rows, int cols, Linear& target) = 0;
    // A tensor that the engine reads as float, such as a gain or the taps of a convolution.
    virtual void floats(const std::string& name, std::vector<uint64_t> shape, const float*& target) = 0;

protected:
    ~TensorLoader() = default;
};

}  // namespace zp
