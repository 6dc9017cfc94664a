#include "bind/config.hpp"

#include <utility>

#include "bind/status.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

template <class T>
T field(const nb::dict& spec, const char* name) {
    if (!spec.contains(name))
        raise(invalid(std::string("the engine configuration lacks `") + name + "`"), Origin::kArgument);
    return nb::cast<T>(spec[name]);
}

// The enumerator with a Python name. `field_name` completes the error message.
template <class T, size_t n>
T value_of(const char* field_name, const std::string& name, const std::pair<const char*, T> (&values)[n]) {
    for (const auto& [known_name, value] : values)
        if (name == known_name) return value;
    raise(invalid(std::string("the native engine has no ") + field_name + " `" + name + "`"),
          Origin::kArgument);
}

template <class T, size_t n>
T choice(const nb::dict& spec, const char* name, const std::pair<const char*, T> (&values)[n]) {
    return value_of(name, field<std::string>(spec, name), values);
}

constexpr std::pair<const char*, NormKind> kNorms[] = {
    {"none", NormKind::kNone}, {"rms", NormKind::kRms}, {"layer", NormKind::kLayer}};
constexpr std::pair<const char*, Placement> kPlacements[] = {
    {"pre", Placement::kPre}, {"parallel", Placement::kParallel}, {"sandwich", Placement::kSandwich}};
constexpr std::pair<const char*, FfnKind> kFfns[] = {{"none", FfnKind::kNone},
                                                     {"gated", FfnKind::kGated},
                                                     {"mlp", FfnKind::kPlain},
                                                     {"mixture", FfnKind::kMixture}};
constexpr std::pair<const char*, Activation> kActivationNames[] = {{"relu", Activation::kRelu},
                                                                   {"gelu", Activation::kGelu},
                                                                   {"gelu_tanh", Activation::kGeluTanh},
                                                                   {"silu", Activation::kSilu}};

// A (kind, values of its fields) pair, or None.
PositionOptions position_options(const nb::dict& spec, const char* name) {
    const auto value = field<std::optional<std::pair<std::string, std::vector<float>>>>(spec, name);
    if (!value) return {};
    const PositionEncoding* encoding = find_position_encoding(value->first);
    if (encoding == nullptr) raise(invalid("unknown positional encoding " + value->first), Origin::kArgument);
    return {encoding, value->second};
}

}  // namespace

CacheType cache_type_of(const std::string& name) { return value_of("cache_type", name, kCacheTypes); }

ModelSpec spec_of(const nb::dict& d) {
    ModelSpec s;
    s.n_layers = field<int>(d, "n_layers");
    s.n_heads = field<int>(d, "n_heads");
    s.n_kv_heads = field<int>(d, "n_kv_heads");
    s.d_model = field<int>(d, "d_model");
    s.d_head = field<int>(d, "d_head");
    s.d_ff = field<int>(d, "d_ff");
    s.n_ctx = field<int>(d, "n_ctx");
    s.n_vocab = field<int>(d, "n_vocab");
    s.norm = choice(d, "norm", kNorms);
    s.norm_eps = field<float>(d, "norm_eps");
    s.placement = choice(d, "placement", kPlacements);
    s.has_final_norm = field<bool>(d, "has_final_norm");
    s.ffn = choice(d, "ffn", kFfns);
    s.activation = choice(d, "activation", kActivationNames);
    s.n_experts = field<int>(d, "n_experts");
    s.n_active = field<int>(d, "n_active");
    s.has_renormalized_experts = field<bool>(d, "has_renormalized_experts");
    s.has_query_key_norm = field<bool>(d, "has_query_key_norm");
    s.attention_scale = field<float>(d, "attention_scale");
    for (const auto& [window, softcap] : field<std::vector<std::pair<int, float>>>(d, "rules"))
        s.rules.push_back({window, softcap});
    s.rope_frequencies = field<std::vector<float>>(d, "rope_frequencies");
    s.rope_layout = field<bool>(d, "is_rope_interleaved") ? RopeLayout::kInterleaved : RopeLayout::kHalf;
    s.rope_factor = field<float>(d, "rope_factor");
    s.n_positions = field<int>(d, "n_positions");
    s.embedding_position = position_options(d, "embedding_position");
    s.head_rotation = position_options(d, "head_rotation");
    s.embedding_scale = field<float>(d, "embedding_scale");
    s.has_tied_head = field<bool>(d, "has_tied_head");
    s.head_scale = field<float>(d, "head_scale");
    s.head_softcap = field<float>(d, "head_softcap");
    return s;
}

TensorMap tensor_map_of(const StoredTensors& stored) {
    TensorMap map;
    for (const auto& [name, where] : stored)
        map[name] = {std::get<0>(where), std::get<1>(where), std::get<2>(where)};
    return map;
}

void set_cache(const nb::dict& cache, EngineConfig& config) {
    config.cache_type = choice(cache, "cache_type", kCacheTypes);
    config.cache_limits = {field<size_t>(cache, "max_bytes"), field<size_t>(cache, "max_idle_bytes")};
    config.window = {field<int>(cache, "window"), field<int>(cache, "sinks")};
}

}  // namespace zp
