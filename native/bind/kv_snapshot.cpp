// Pages of a cache as bytes, out to a file and back in (engine/session/kv_snapshot.py writes and checks the
// file).
#include <cstring>

#include "bind/arrays.hpp"
#include "bind/engine.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

PySequence open_cached(PyEngine& self, const Ids& ids) {
    const InUse guard(self);
    Result<Sequence*> sequence = self.engine->open_cached(span_of(ids));
    if (!sequence.ok()) fail(sequence.error());
    return {&self, sequence.value()};
}

nb::bytes page(PySequence& self, int index) {
    const InUse guard(*self.owner);
    require_open(self);
    if (index < 0 || index >= pages_for(self.sequence->n_held()))
        raise(invalid("this sequence has no such page"), Origin::kArgument);
    Engine& engine = *self.owner->engine;
    Result<PageRef> page = engine.saved_page(*self.sequence, index);
    if (!page.ok()) fail(page.error());
    return nb::bytes(page.value()->data(), engine.page_bytes());
}

void restore(PyEngine& self, const Ids& ids, int n_dropped, nb::iterator pages) {
    const InUse guard(self);
    const auto next_page = [&](std::span<uint8_t> into) -> Status {
        const nb::object next = pages == nb::iterator::sentinel() ? nb::object() : nb::borrow(*pages);
        if (!next.is_valid() || !nb::isinstance<nb::bytes>(next))
            return invalid("there are fewer saved pages than the tokens need");
        const nb::bytes bytes = nb::cast<nb::bytes>(next);
        if (bytes.size() != into.size()) return invalid("a saved page has the wrong size");
        std::memcpy(into.data(), bytes.c_str(), into.size());
        ++pages;
        return {};
    };
    const Status status = self.engine->restore(span_of(ids), n_dropped, next_page);
    if (!status.ok()) fail(status.error());
}

}  // namespace

void bind_saved_cache(nb::class_<PyEngine>& engine, nb::class_<PySequence>& sequence) {
    engine
        .def(
            "fingerprint",
            [](PyEngine& self) {
                const InUse guard(self);
                nb::gil_scoped_release released;
                return self.engine->fingerprint();
            },
            "Tells models apart: of everything that keys and values are computed with.")
        .def("open_cached", &open_cached, nb::arg("ids"), nb::keep_alive<0, 1>(),
             "A sequence of as much of ids as the cache holds.")
        .def("restore", &restore, nb::arg("ids"), nb::arg("n_dropped"), nb::arg("pages"),
             nb::sig("def restore(self, ids: numpy.typing.NDArray[numpy.int32], n_dropped: int, pages: "
                     "typing.Iterator[bytes]) -> None"),
             "Puts the saved pages of ids back into the cache.");
    sequence.def("page", &page, nb::arg("index"), "The bytes of one of its pages, to be saved.")
        .def_prop_ro("n_dropped",
                     [](PySequence& self) {
                         const InUse guard(*self.owner);
                         require_open(self);
                         return self.sequence->n_dropped;
                     })
        .def_prop_ro("n_pages", [](PySequence& self) {
            const InUse guard(*self.owner);
            require_open(self);
            return pages_for(self.sequence->n_held());
        });
}

}  // namespace zp
