// Taps, lens and interventions from Python lists; recorded values as numpy arrays.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "model/interventions.hpp"
#include "model/tap_recorder.hpp"

namespace zp {

// (tap, layer, first position, end position, first column, columns, factor, addend)
using InterventionFields = std::tuple<std::string, int, int, int, int, int, float, std::vector<float>>;
// (tap, layer, heads)
using TapFields = std::tuple<std::string, int, std::vector<int>>;
// (layers, n_top, named token ids, whether to record all logits)
using LensFields = std::tuple<std::vector<int>, int, std::vector<int32_t>, bool>;

// Null for an empty list. Raises BadInput for an intervention that does not fit the model.
std::shared_ptr<const Interventions> make_interventions(const std::vector<InterventionFields>& interventions,
                                                        const ModelSpec& spec);
TapRecorder make_tap_recorder(std::span<const int32_t> ids, const std::vector<TapFields>& taps,
                              const LensFields& lens, const ModelSpec& spec);
// (one array per recorded tap, in order; one dict of arrays per lens layer)
nanobind::tuple arrays_of(TapRecorder& recorder, size_t n_tokens, const LensFields& lens, size_t n_vocab);

}  // namespace zp
