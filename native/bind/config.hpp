// Engine configuration from the dicts that Python passes.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>
#include <unordered_map>

#include "runtime/engine.hpp"

namespace zp {

// The cache types by their Python names; exact mode uses the first.
inline constexpr std::pair<const char*, CacheType> kCacheTypes[] = {{"f32", CacheType::kFloat},
                                                                    {"f16", CacheType::kHalf},
                                                                    {"int16", CacheType::kInt16},
                                                                    {"int8", CacheType::kInt8}};

// Our tensor name -> StoredTensor: (stored name, its rows, runs of rows (first, number), change).
using StoredTensors = std::unordered_map<
    std::string, std::tuple<std::string, int64_t, std::vector<std::pair<int64_t, int64_t>>, std::string>>;

// Cache of a layer: kind, n_kv_heads, d_head, window, n_state_floats, source; unused sizes are 0.
using LayerCacheFields = std::tuple<std::string, int, int, int, int64_t, int>;

// Each raises BadInput for a missing key or an unknown name.
CacheType cache_type_of(const std::string& name);
LayerCache layer_cache_of(const LayerCacheFields& fields);
ModelSpec spec_of(const nanobind::dict& spec);
void set_cache(const nanobind::dict& cache, EngineConfig& config);
TensorMap tensor_map_of(const StoredTensors& stored);

}  // namespace zp
