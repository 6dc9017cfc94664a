// Facts of the native engine that Python needs, stated here once: limits, names, sizes and shared messages.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
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
#include "ops/cache_view.hpp"
#include "ops/position/encoding.hpp"
#include "runtime/context_full.hpp"

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

size_t page_bytes(const std::string& cache_type, int n_layers, int n_kv_heads, int d_head) {
    if (n_layers < 0 || n_kv_heads < 0 || d_head < 0)
        raise(invalid("page_bytes needs sizes of at least 0"), Origin::kArgument);
    const HeadLayout head{cache_type_of(cache_type), d_head};
    return head.bytes() * static_cast<size_t>(n_layers) * static_cast<size_t>(n_kv_heads);
}

std::vector<std::string> recurrences() {
    std::vector<std::string> names;
    for (const RecurrenceKind* kind : recurrence_kinds()) names.emplace_back(kind->name);
    return names;
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
    m.def("page_bytes", &page_bytes, nb::arg("cache_type"), nb::arg("n_layers"), nb::arg("n_kv_heads"),
          nb::arg("d_head"),
          "Bytes of one KV cache page, which holds PAGE_POSITIONS keys and values of every layer, padding "
          "included.");
    m.def("lattice", &lattice_points, nb::arg("name"),
          "The points of a lattice of weights, named by a number format: levels uint8 [points, columns].");
    m.def("tap_names", &tap_names_of, nb::arg("spec"),
          nb::sig("def tap_names(spec: dict[str, object]) -> list[str]"),
          "The taps of a model with this specification, in the order of the forward pass.");
    m.def("position_encodings", &encodings,
          nb::sig("def position_encodings() -> dict[str, list[typing.Literal['embedding', 'heads']]]"),
          "Positional encodings without weights, by kind: added to the embedding, or rotating the heads of "
          "queries and keys. RoPE and learned positions have fields of their own.");
    m.def("recurrences", &recurrences, "The kinds of recurrences that a block can have.");
    m.def("context_full_message", &context_full_message, nb::arg("subject"), nb::arg("n_tokens"),
          nb::arg("n_ctx"),
          "The message of ContextFull; `subject` is its beginning, such as \"the prompt has\".");
}

}  // namespace zp
