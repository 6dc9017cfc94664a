// What is to be seen and changed in a pass, from Python's lists; what was seen, as arrays.
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

// (point, layer, first position, end position, first column, columns, factor, addend)
using EditFields = std::tuple<std::string, int, int, int, int, int, float, std::vector<float>>;
// (point, layer, heads)
using ReadingFields = std::tuple<std::string, int, std::vector<int>>;
// (layers, best tokens, named tokens, whether whole logits are wanted)
using LensFields = std::tuple<std::vector<int>, int, std::vector<int32_t>, bool>;

// Null for no edits. Raises BadInput for one that the model cannot have.
std::shared_ptr<const Edits> edits_of(const std::vector<EditFields>& edits, const ModelSpec& spec);
Probe probe_of(std::span<const int32_t> ids, const std::vector<ReadingFields>& readings,
               const LensFields& lens, const ModelSpec& spec);
// (an array a reading, in their order; a dict of arrays a layer of the lens)
nanobind::tuple seen_of(Probe& probe, size_t n_tokens, const LensFields& lens, size_t n_vocab);

}  // namespace zp
