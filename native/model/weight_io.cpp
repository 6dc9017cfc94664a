#include "model/weight_io.hpp"

#include <algorithm>
#include <atomic>
#include <vector>

#include "base/memory.hpp"
#include "kernels/packing.hpp"

namespace zp {

namespace {

constexpr size_t kPieceBytes = 1 << 18;  // what is read is packed while a core's own cache still has it

// Groups [begin, end) of a matrix.
struct Piece {
    const MatrixReading* reading;
    size_t begin, end;
};

// By way of `rows`: mapped, the file would double the memory that the weights take.
void pack(const Piece& piece, uint8_t* rows) {
    const Matrix& m = *piece.reading->target;
    const size_t group_bytes = m.group_bytes(), n_groups = piece.end - piece.begin;
    const size_t n_rows =
        std::min(n_groups * kGroupRows, static_cast<size_t>(m.rows) - piece.begin * kGroupRows);
    piece.reading->file->copy(piece.reading->bytes + piece.begin * group_bytes,
                              n_rows * group_bytes / kGroupRows, rows);
    uint8_t* out = piece.reading->out + piece.begin * group_bytes;
    for (size_t g = 0; g < n_groups; ++g)
        pack_group(m.format, rows, n_rows, static_cast<size_t>(m.cols), g, out + g * group_bytes);
}

// The first of the last pieces that come to so many bytes.
size_t first_of_last(size_t n_bytes, std::span<const Piece> pieces) {
    size_t first = pieces.size();
    for (size_t held = 0; first > 0 && held < n_bytes;) {
        const Piece& piece = pieces[--first];
        held += (piece.end - piece.begin) * piece.reading->target->group_bytes();
    }
    return first;
}

}  // namespace

Status read_matrices(std::span<const MatrixReading> readings, ThreadPool& pool, const LoadGate* load_gate,
                     size_t held_bytes) {
    size_t most_bytes = 0;
    std::vector<Piece> pieces;
    for (const MatrixReading& reading : readings) {
        const size_t step = std::max<size_t>(1, kPieceBytes / reading.target->group_bytes());
        const size_t n_groups = static_cast<size_t>(reading.target->n_groups());
        most_bytes = std::max(most_bytes, step * reading.target->group_bytes());
        for (size_t g = 0; g < n_groups; g += step)
            pieces.push_back({&reading, g, std::min(g + step, n_groups)});
    }
    Result<Buffer> rows = Buffer::allocate(most_bytes * static_cast<size_t>(pool.size()), Pages::kSmall,
                                           "reading the model's weights");
    if (!rows.ok()) return rows.error();
    // Threads take pieces as they come free, since a piece may have to be read from the disk.
    std::atomic<size_t> next{0};
    const size_t first_held = first_of_last(held_bytes, pieces);
    pool.run([&](int thread) {
        uint8_t* own = static_cast<uint8_t*>(rows.value().data()) + most_bytes * static_cast<size_t>(thread);
        // The others leave their processors to what is held for.
        if (load_gate != nullptr && thread > 0) load_gate->wait();
        for (size_t i = next++; i < pieces.size(); i = next++) {
            if (load_gate != nullptr &&
                (load_gate->is_abandoned() || (i >= first_held && !load_gate->wait())))
                return;
            pack(pieces[i], own);
        }
    });
    if (load_gate != nullptr && load_gate->is_abandoned())
        return Error{Fault::kCancelled, "the model is not wanted"};
    return {};
}

}  // namespace zp
