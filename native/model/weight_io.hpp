// Reads matrices from their files into packed form (kernels/packed.hpp), each byte once, on all threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/file.hpp"
#include "base/load_gate.hpp"
#include "base/status.hpp"
#include "base/threads.hpp"
#include "ops/matrix.hpp"

namespace zp {

// Rows [first, first + n) of a stored tensor.
struct RowRun {
    int64_t first, n;
};

struct MatrixLoad {
    Matrix* target;
    const MappedFile* file;
    const uint8_t* bytes;      // in the mapping of the file
    std::vector<RowRun> runs;  // the target's rows are these rows, counted from `bytes`
    uint8_t* out = nullptr;    // target->n_bytes()
};

// Copies rows [first_row, first_row + n) of the concatenated runs, each row_bytes long.
void copy_rows(const MappedFile& file, const uint8_t* bytes, std::span<const RowRun> runs, size_t row_bytes,
               int64_t first_row, int64_t n, uint8_t* out);

// kMemory if there is no memory for buffers. A file that was truncated meanwhile becomes
// MappedFile::damaged(). load_gate: until it opens, a single thread reads all but the last `held_bytes` of
// packed weights; kCancelled if it is abandoned. Null for no gate.
Status read_matrices(std::span<const MatrixLoad> loads, ThreadPool& pool, const LoadGate* load_gate,
                     size_t held_bytes);

}  // namespace zp
