// Matrices out of their files into packed form (kernels/packed.hpp), each read once, by every thread.
#pragma once

#include <cstdint>
#include <span>

#include "base/file.hpp"
#include "base/load_gate.hpp"
#include "base/status.hpp"
#include "base/threads.hpp"
#include "ops/matrix.hpp"

namespace zp {

struct MatrixReading {
    Matrix* target;
    const MappedFile* file;
    const uint8_t* bytes;    // in the file's mapping: rows one after another
    uint8_t* out = nullptr;  // target->n_bytes()
};

// Fails if there is no memory to read into. A file that has become shorter is damaged then, as if it had been
// read from its mapping. hold: until it is released, one thread reads all but the last `held_bytes` of packed
// weights, and nothing is there if it is abandoned; null for none.
Status read_matrices(std::span<const MatrixReading> readings, ThreadPool& pool, const LoadGate* load_gate,
                     size_t held_bytes);

}  // namespace zp
