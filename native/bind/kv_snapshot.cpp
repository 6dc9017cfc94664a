// KV snapshots: cache pages as bytes. engine/session/kv_snapshot.py writes and validates the file.
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

nb::bytes page(PySequence& self, int index) {
    const InUse guard(*self.owner);
    require_open(self);
    if (index < 0 || index >= pages_for(self.sequence->n_positions()))
        raise(invalid("the sequence does not have page " + std::to_string(index)), Origin::kArgument);
    Engine& engine = *self.owner->engine;
    Result<PageRef> page = engine.snapshot_page(*self.sequence, index);
    if (!page.ok()) fail(page.error(), *self.owner);
    return nb::bytes(page.value()->data(), engine.page_bytes());
}

void restore(PyEngine& self, const Ids& ids, int n_dropped, nb::iterator pages) {
    const NativeWork work;
    const InUse guard(self);
    const auto next_page = [&](std::span<uint8_t> into) -> Status {
        if (must_stop_for_exit()) return Error{Fault::kCancelled, ""};
        const nb::object next = pages == nb::iterator::sentinel() ? nb::object() : nb::borrow(*pages);
        if (!next.is_valid() || !nb::isinstance<nb::bytes>(next))
            return invalid("the snapshot has fewer pages than its tokens need");
        const nb::bytes bytes = nb::cast<nb::bytes>(next);
        if (bytes.size() != into.size()) return invalid("a page of the snapshot has the wrong size");
        std::memcpy(into.data(), bytes.c_str(), into.size());
        ++pages;
        return {};
    };
    const Status status = self.engine->restore(span_of(ids), n_dropped, next_page);
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
        .def("restore", &restore, nb::arg("ids"), nb::arg("n_dropped"), nb::arg("pages"),
             nb::sig("def restore(self, ids: numpy.typing.NDArray[numpy.int32], n_dropped: int, pages: "
                     "typing.Iterator[bytes]) -> None"),
             "Restores the snapshot pages of ids into the cache.");
    sequence.def("page", &page, nb::arg("index"), "The bytes of one page, for a snapshot.")
        .def_prop_ro("n_dropped",
                     [](PySequence& self) {
                         const InUse guard(*self.owner);
                         require_open(self);
                         return self.sequence->n_dropped;
                     })
        .def_prop_ro("n_pages", [](PySequence& self) {
            const InUse guard(*self.owner);
            require_open(self);
            return pages_for(self.sequence->n_positions());
        });
}

}  // namespace zp
