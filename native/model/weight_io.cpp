#include "model/weight_io.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/memory.hpp"
#include "kernels/packing.hpp"

namespace zp {

namespace {

constexpr size_t kPieceBytes = 1 << 18;  // small enough to pack while it is still in a core's private cache

// Groups [begin, end) of a matrix.
struct Piece {
    const MatrixLoad* load;
    size_t begin, end;
};

// Copies through `rows`: touching the mapping would double the memory of the weights.
void pack(const Piece& piece, uint8_t* rows) {
    const Matrix& m = *piece.load->target;
    const size_t group_bytes = m.group_bytes(), n_groups = piece.end - piece.begin;
    const size_t n_rows =
        std::min(n_groups * kGroupRows, static_cast<size_t>(m.rows) - piece.begin * kGroupRows);
    copy_rows(*piece.load->file, piece.load->bytes, piece.load->runs, group_bytes / kGroupRows,
              static_cast<int64_t>(piece.begin * kGroupRows), static_cast<int64_t>(n_rows), rows);
    uint8_t* out = piece.load->out + piece.begin * group_bytes;
    for (size_t g = 0; g < n_groups; ++g)
        pack_group(m.format, rows, n_rows, static_cast<size_t>(m.cols), g, out + g * group_bytes);
}

// Index of the first piece among the last ones that total n_bytes.
size_t first_of_last(size_t n_bytes, std::span<const Piece> pieces) {
    size_t first = pieces.size();
    for (size_t held = 0; first > 0 && held < n_bytes;) {
        const Piece& piece = pieces[--first];
        held += (piece.end - piece.begin) * piece.load->target->group_bytes();
    }
    return first;
}

}  // namespace

void copy_rows(const MappedFile& file, const uint8_t* bytes, std::span<const RowRun> runs, size_t row_bytes,
               int64_t first_row, int64_t n, uint8_t* out) {
    for (const RowRun& run : runs) {
        const int64_t n_copied = std::clamp<int64_t>(run.n - first_row, 0, n);
        const size_t n_bytes = static_cast<size_t>(n_copied) * row_bytes;
        if (n_copied > 0)
            file.copy(bytes + static_cast<size_t>(run.first + first_row) * row_bytes, n_bytes, out);
        first_row = std::max<int64_t>(first_row - run.n, 0);
        n -= n_copied;
        out += n_bytes;
    }
}

Status read_matrices(std::span<const MatrixLoad> loads, ThreadPool& pool, const LoadGate* load_gate,
                     size_t held_bytes) {
    size_t max_bytes = 0;
    std::vector<Piece> pieces;
    for (const MatrixLoad& load : loads) {
        const size_t step = std::max<size_t>(1, kPieceBytes / load.target->group_bytes());
        const size_t n_groups = static_cast<size_t>(load.target->n_groups());
        max_bytes = std::max(max_bytes, step * load.target->group_bytes());
        for (size_t g = 0; g < n_groups; g += step)
            pieces.push_back({&load, g, std::min(g + step, n_groups)});
    }
    Result<Buffer> rows = Buffer::allocate(max_bytes * static_cast<size_t>(pool.size()), Pages::kSmall,
                                           "load the model's weights");
    if (!rows.ok()) return rows.error();
    // Threads take pieces dynamically, since a piece may have to come from disk.
    std::atomic<size_t> next{0};
    const size_t first_held = first_of_last(held_bytes, pieces);
    pool.run([&](int thread) {
        uint8_t* own = static_cast<uint8_t*>(rows.value().data()) + max_bytes * static_cast<size_t>(thread);
        // The other threads leave their processors to the work that the gate waits for.
        if (load_gate != nullptr && thread > 0) load_gate->wait();
        for (size_t i = next++; i < pieces.size(); i = next++) {
            if (load_gate != nullptr &&
                (load_gate->is_abandoned() || (i >= first_held && !load_gate->wait())))
                return;
            pack(pieces[i], own);
        }
    });
    if (load_gate != nullptr && load_gate->is_abandoned())
        return Error{Fault::kCancelled, "loading the model was cancelled"};
    return {};
}

}  // namespace zp
