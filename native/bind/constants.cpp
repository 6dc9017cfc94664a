// Facts of the native engine that Python needs, stated here once: limits, names, sizes and shared messages.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <string>
#include <vector>

#include "base/threads.hpp"
#include "bind/config.hpp"
#include "bind/status.hpp"
#include "formats/lattice.hpp"
#include "kernels/kernels.hpp"
#include "model/batch.hpp"
#include "model/recurrence/recurrence.hpp"
#include "model/taps.hpp"
#include "ops/position/encoding.hpp"
#include "runtime/context_full.hpp"
#include "runtime/kv_cache/checkpoint.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

std::vector<std::string> instruction_sets() {
    return {std::begin(kInstructionSets), std::end(kInstructionSets)};
}

std::vector<std::string> cache_types() {
    std::vector<std::string> names;
    for (const auto& [name, type] : kCacheTypes) names.emplace_back(name);
    return names;
}

size_t cache_bytes(const std::string& cache_type, const std::vector<LayerCacheFields>& layers,
                   int n_positions, int sinks) {
    if (n_positions < 0 || sinks < 0)
        raise(invalid("cache_bytes needs sizes of at least 0"), Origin::kArgument);
    std::vector<LayerCache> caches;
    for (const LayerCacheFields& fields : layers) caches.push_back(layer_cache_of(fields));
    if (Status status = check(caches); !status.ok()) raise(status.error(), Origin::kArgument);
    const CacheLayout layout(cache_type_of(cache_type), std::move(caches));
    return sequence_bytes(layout, KeptPositions(layout, n_positions, sinks), n_positions);
}

std::vector<std::string> recurrences() {
    std::vector<std::string> names;
    for (const RecurrenceKind* kind : recurrence_kinds()) names.emplace_back(kind->name);
    return names;
}

std::shared_ptr<const Recurrence> checked_recurrence(const std::string& kind,
                                                     std::map<std::string, double> fields, int d_model) {
    auto recurrence = make_recurrence(kind, std::move(fields));
    if (!recurrence.ok()) raise(recurrence.error(), Origin::kArgument);
    if (d_model < 1) raise(invalid("d_model must be at least 1"), Origin::kArgument);
    if (Status status = recurrence.value()->check(kind, d_model); !status.ok())
        raise(status.error(), Origin::kArgument);
    return recurrence.value();
}

size_t state_floats(const std::string& kind, std::map<std::string, double> fields, int d_model) {
    return checked_recurrence(kind, std::move(fields), d_model)->n_state_floats(d_model);
}

size_t buffer_floats(const std::string& kind, std::map<std::string, double> fields, int d_model) {
    const auto recurrence = checked_recurrence(kind, std::move(fields), d_model);
    size_t n_floats = static_cast<size_t>(recurrence->shared_width(d_model));
    for (const int width : recurrence->buffer_widths(d_model)) n_floats += static_cast<size_t>(width);
    return n_floats;
}

std::vector<std::string> tap_names_of(const nb::dict& spec) { return tap_names(spec_of(spec)); }

std::string context_full_message(const std::string& subject, size_t n_tokens, int n_ctx) {
    return context_full(subject, n_tokens, n_ctx).message;
}

// Kind to the places where an encoding acts: "embedding", "heads".
nb::dict encodings() {
    nb::dict found;
    for (const PositionEncoding* encoding : position_encodings()) {
        nb::list places;
        if (encoding->add != nullptr) places.append("embedding");
        if (encoding->rotate != nullptr) places.append("heads");
        found[encoding->kind] = places;
    }
    return found;
}

// Levels of the points of a lattice, [points, columns].
nb::ndarray<nb::numpy, uint8_t, nb::ndim<2>> lattice_points(const std::string& name) {
    const Lattice& found = lattice(name);
    if (found.name != name) raise(invalid("unknown lattice `" + name + "`"), Origin::kArgument);
    const auto n_columns = static_cast<size_t>(found.n_columns);
    auto levels = std::make_unique<std::vector<uint8_t>>(static_cast<size_t>(found.n_points) * n_columns);
    found.for_each_point([&](int point, int rank) {
        for (int column = 0; column < found.n_columns; ++column)
            (*levels)[static_cast<size_t>(point) * n_columns + static_cast<size_t>(column)] =
                static_cast<uint8_t>(found.level(rank, column));
    });
    std::vector<uint8_t>* data = levels.release();
    nb::capsule owner(data, [](void* p) noexcept { delete static_cast<std::vector<uint8_t>*>(p); });
    return {data->data(), {data->size() / n_columns, n_columns}, owner};
}

const char* name_of(CacheType cache_type) {
    for (const auto& [name, type] : kCacheTypes)
        if (type == cache_type) return name;
    return "";
}

}  // namespace

void bind_constants(nb::module_& m) {
    m.attr("MAX_THREADS") = ThreadPool::kMaxThreads;
    m.attr("MAX_BATCH_TOKENS") = Batch::kMaxTokens;
    m.attr("PAGE_POSITIONS") = kChunk;
    m.attr("EXACT_CACHE_TYPE") = name_of(CacheType::kFloat);
    m.attr("DEFAULT_CACHE_TYPE") = name_of(EngineConfig{}.cache_type);
    m.def("instruction_sets", &instruction_sets,
          "All instruction sets with kernels, on any machine, fastest first; machine()[\"isas\"] lists those "
          "that "
          "run here.");
    m.def(
        "cache_types", &cache_types,
        "Element types of the KV cache. EXACT_CACHE_TYPE belongs to exact mode; the others can be selected.");
    m.def("lattice", &lattice_points, nb::arg("name"),
          "The points of a lattice of weights, named by a number format: levels uint8 [points, columns].");
    m.def(
        "cache_bytes", &cache_bytes, nb::arg("cache_type"), nb::arg("layers"), nb::arg("n_positions"),
        nb::arg("sinks") = 0,
        nb::sig("def cache_bytes(cache_type: str, layers: typing.Sequence[tuple[typing.Literal['pages', "
                "'window', 'state', 'shared'], int, int, int, int, int]], n_positions: int, sinks: int = 0) "
                "-> int"),
        "Bytes of the cache of one text of at most n_positions, of which a window never drops the first "
        "sinks: whole pages, padding included, and two copies of recurrent states. Each layer is (kind, "
        "n_kv_heads, d_head, window, n_state_floats, source).");
    m.def("tap_names", &tap_names_of, nb::arg("spec"),
          nb::sig("def tap_names(spec: dict[str, object]) -> list[str]"),
          "The taps of a model with this specification, in the order of the forward pass.");
    m.def("position_encodings", &encodings,
          nb::sig("def position_encodings() -> dict[str, list[typing.Literal['embedding', 'heads']]]"),
          "Positional encodings without weights, by kind: added to the embedding, or rotating the heads of "
          "queries and keys. RoPE and learned positions have fields of their own.");
    m.def("recurrences", &recurrences, "The kinds of recurrences that a block can have.");
    m.def("state_floats", &state_floats, nb::arg("kind"), nb::arg("fields"), nb::arg("d_model"),
          "Numbers in the state of a recurrence, padding included; `fields` are those of its Python class.");
    m.def("buffer_floats", &buffer_floats, nb::arg("kind"), nb::arg("fields"), nb::arg("d_model"),
          "Numbers that a recurrence buffers for each token of a pass; `fields` as for state_floats.");
    m.def("context_full_message", &context_full_message, nb::arg("subject"), nb::arg("n_tokens"),
          nb::arg("n_ctx"),
          "The message of ContextFull; `subject` is its beginning, such as \"the prompt has\".");
}

}  // namespace zp
