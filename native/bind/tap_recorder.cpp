#include "bind/tap_recorder.hpp"

#include <utility>

#include "bind/arrays.hpp"
#include "bind/status.hpp"

namespace nb = nanobind;

namespace zp {

namespace {

Tap tap_of(const std::string& name) {
    const std::optional<Tap> tap = tap_named(name);
    if (!tap) raise(invalid("the native engine has no tap `" + name + "`"), Origin::kArgument);
    return *tap;
}

}  // namespace

std::shared_ptr<const Interventions> make_interventions(const std::vector<InterventionFields>& interventions,
                                                        const ModelSpec& spec) {
    if (interventions.empty()) return nullptr;
    std::vector<Intervention> list;
    for (const auto& [tap, layer, first, end, column, n_columns, factor, addend] : interventions)
        list.push_back({tap_of(tap), layer, first, end, column, n_columns, factor, addend});
    Result<Interventions> result = Interventions::make(std::move(list), spec);
    if (!result.ok()) raise(result.error(), Origin::kArgument);
    return std::make_shared<const Interventions>(std::move(result.value()));
}

TapRecorder make_tap_recorder(std::span<const int32_t> ids, const std::vector<TapFields>& taps,
                              const LensFields& lens, const ModelSpec& spec) {
    std::vector<RecordedTap> list;
    for (const auto& [tap, layer, heads] : taps) {
        list.emplace_back();
        list.back().tap = tap_of(tap);
        list.back().layer = layer;
        list.back().heads = heads;
    }
    const auto& [layers, n_top, named, wants_logits] = lens;
    Result<TapRecorder> recorder =
        TapRecorder::make(spec, ids, std::move(list), {layers, n_top, named, wants_logits});
    if (!recorder.ok()) raise(recorder.error(), Origin::kArgument);
    return std::move(recorder.value());
}

nb::tuple arrays_of(TapRecorder& recorder, size_t n_tokens, const LensFields& lens, size_t n_vocab) {
    nb::list taps;
    for (RecordedTap& r : recorder.recorded()) {
        const size_t width = static_cast<size_t>(r.width);
        const bool is_table = r.tap == Tap::kWeights;
        std::vector<size_t> shape{n_tokens, width};
        if (is_table) shape.insert(shape.begin(), r.heads.size());
        taps.append(owned(std::move(r.values), std::move(shape)));
    }
    const size_t n_top = static_cast<size_t>(std::get<1>(lens)), n_named = std::get<2>(lens).size();
    nb::list layers;
    for (LensRows& rows : recorder.lens()) {
        nb::dict d;
        d["top_ids"] = owned(std::move(rows.top_ids), {n_tokens, n_top});
        d["top_logprobs"] = owned(std::move(rows.top_logprobs), {n_tokens, n_top});
        d["named_logprobs"] = owned(std::move(rows.named_logprobs), {n_tokens, n_named});
        d["next_logprobs"] = owned(std::move(rows.next_logprobs), {n_tokens - 1});
        if (std::get<3>(lens)) d["logits"] = owned(std::move(rows.logits), {n_tokens, n_vocab});
        layers.append(d);
    }
    return nb::make_tuple(taps, layers);
}

}  // namespace zp
