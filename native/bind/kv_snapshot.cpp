// KV snapshots: the blocks of the cache as bytes. engine/session/kv_snapshot.py writes and validates the
// file.
#include <nanobind/stl/vector.h>

#include <cstring>

#include "bind/arrays.hpp"
#include "bind/engine.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

PySequence open_cached(PyEngine& self, const Ids& ids) {
    const InUse guard(self);
    Result<Sequence*> sequence = self.engine->open_cached(span_of(ids));
    if (!sequence.ok()) fail(sequence.error(), self);
    return {&self, sequence.value()};
}

std::vector<size_t> sizes_of(const std::vector<SnapshotBlock>& blocks) {
    std::vector<size_t> sizes;
    for (const SnapshotBlock& block : blocks) sizes.push_back(block.n_bytes);
    return sizes;
}

std::vector<size_t> snapshot_sizes(PyEngine& self, int64_t n_tokens, int n_dropped) {
    const InUse guard(self);
    const auto blocks = self.engine->snapshot_blocks(n_tokens, n_dropped);
    if (!blocks.ok()) fail(blocks.error(), self);
    return sizes_of(blocks.value());
}

// Call it with the engine in use.
std::vector<SnapshotBlock> blocks_of(const PySequence& self) {
    require_open(self);
    const auto blocks =
        self.owner->engine->snapshot_blocks(self.sequence->n_cached, self.sequence->n_dropped);
    if (!blocks.ok()) fail(blocks.error(), *self.owner);
    return blocks.value();
}

nb::bytes block(PySequence& self, int index) {
    const InUse guard(*self.owner);
    const std::vector<SnapshotBlock> blocks = blocks_of(self);
    if (index < 0 || static_cast<size_t>(index) >= blocks.size())
        raise(invalid("the sequence does not have block " + std::to_string(index)), Origin::kArgument);
    const SnapshotBlock& wanted = blocks[static_cast<size_t>(index)];
    Result<BlockRef> block = self.owner->engine->snapshot(*self.sequence, wanted);
    if (!block.ok()) fail(block.error(), *self.owner);
    return nb::bytes(block.value()->data(), wanted.n_bytes);
}

void restore(PyEngine& self, const Ids& ids, int n_dropped, nb::iterator blocks) {
    const NativeWork work;
    const InUse guard(self);
    const auto next_block = [&](std::span<uint8_t> into) -> Status {
        if (must_stop_for_exit()) return Error{Fault::kCancelled, ""};
        const nb::object next = blocks == nb::iterator::sentinel() ? nb::object() : nb::borrow(*blocks);
        if (!next.is_valid() || !nb::isinstance<nb::bytes>(next))
            return invalid("the snapshot has fewer blocks than its tokens need");
        const nb::bytes bytes = nb::cast<nb::bytes>(next);
        if (bytes.size() != into.size()) return invalid("a block of the snapshot has the wrong size");
        std::memcpy(into.data(), bytes.c_str(), into.size());
        ++blocks;
        return {};
    };
    const Status status = self.engine->restore(span_of(ids), n_dropped, next_block);
    if (!status.ok()) fail(status.error(), self);
}

}  // namespace

void bind_kv_snapshot(nb::class_<PyEngine>& engine, nb::class_<PySequence>& sequence) {
    engine
        .def(
            "fingerprint",
            [](PyEngine& self) {
                const InUse guard(self);
                GilRelease released;
                return self.engine->fingerprint();
            },
            "Hash of everything that determines keys and values: weights, specification and precision.")
        .def("open_cached", &open_cached, nb::arg("ids"), nb::keep_alive<0, 1>(),
             "Opens a sequence of the longest prefix of ids in the cache.")
        .def("snapshot_sizes", &snapshot_sizes, nb::arg("n_tokens"), nb::arg("n_dropped"),
             "Bytes of each block of the snapshot of a text.")
        .def("restore", &restore, nb::arg("ids"), nb::arg("n_dropped"), nb::arg("blocks"),
             nb::sig("def restore(self, ids: numpy.typing.NDArray[numpy.int32], n_dropped: int, blocks: "
                     "typing.Iterator[bytes]) -> None"),
             "Restores the snapshot of ids into the cache.");
    sequence.def("block", &block, nb::arg("index"), "The bytes of one block, for a snapshot.")
        .def_prop_ro("n_dropped",
                     [](PySequence& self) {
                         const InUse guard(*self.owner);
                         require_open(self);
                         return self.sequence->n_dropped;
                     })
        .def_prop_ro("block_bytes", [](PySequence& self) {
            const InUse guard(*self.owner);
            return sizes_of(blocks_of(self));
        });
}

}  // namespace zp
