#include "bind/tap_recorder.hpp"

#include <utility>

#include "bind/arrays.hpp"
#include "bind/status.hpp"

namespace nb = nanobind;

namespace zp {

namespace {

Point point_of(const std::string& name) {
    const std::optional<Point> point = point_named(name);
    if (!point) raise(invalid("the native engine has no point `" + name + "`"), Origin::kArgument);
    return *point;
}

}  // namespace

std::shared_ptr<const Edits> edits_of(const std::vector<EditFields>& edits, const ModelSpec& spec) {
    if (edits.empty()) return nullptr;
    std::vector<Edit> list;
    for (const auto& [point, layer, first, end, column, n_columns, factor, addend] : edits)
        list.push_back({point_of(point), layer, first, end, column, n_columns, factor, addend});
    Result<Edits> made = Edits::make(std::move(list), spec);
    if (!made.ok()) raise(made.error(), Origin::kArgument);
    return std::make_shared<const Edits>(std::move(made.value()));
}

Probe probe_of(std::span<const int32_t> ids, const std::vector<ReadingFields>& readings,
               const LensFields& lens, const ModelSpec& spec) {
    std::vector<Reading> list;
    for (const auto& [point, layer, heads] : readings) {
        list.emplace_back();
        list.back().point = point_of(point);
        list.back().layer = layer;
        list.back().heads = heads;
    }
    const auto& [layers, n_top, named, wants_logits] = lens;
    Result<Probe> probe = Probe::make(spec, ids, std::move(list), {layers, n_top, named, wants_logits});
    if (!probe.ok()) raise(probe.error(), Origin::kArgument);
    return std::move(probe.value());
}

nb::tuple seen_of(Probe& probe, size_t n_tokens, const LensFields& lens, size_t n_vocab) {
    nb::list readings;
    for (Reading& r : probe.readings()) {
        const size_t width = static_cast<size_t>(r.width);
        const bool is_table = r.point == Point::kWeights;
        std::vector<size_t> shape{n_tokens, width};
        if (is_table) shape.insert(shape.begin(), r.heads.size());
        readings.append(owned(std::move(r.values), std::move(shape)));
    }
    const size_t n_top = static_cast<size_t>(std::get<1>(lens)), n_named = std::get<2>(lens).size();
    nb::list layers;
    for (LensRows& rows : probe.lens()) {
        nb::dict d;
        d["top_ids"] = owned(std::move(rows.top_ids), {n_tokens, n_top});
        d["top_logprobs"] = owned(std::move(rows.top_logprobs), {n_tokens, n_top});
        d["named_logprobs"] = owned(std::move(rows.named_logprobs), {n_tokens, n_named});
        d["next_logprobs"] = owned(std::move(rows.next_logprobs), {n_tokens - 1});
        if (std::get<3>(lens)) d["logits"] = owned(std::move(rows.logits), {n_tokens, n_vocab});
        layers.append(d);
    }
    return nb::make_tuple(readings, layers);
}

}  // namespace zp
