#include "bind/config.hpp"

#include <utility>

#include "bind/status.hpp"
#include "model/recurrence/recurrence.hpp"

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
constexpr std::pair<const char*, Placement> kPlacements[] = {{"pre", Placement::kPre},
                                                             {"parallel", Placement::kParallel},
                                                             {"sandwich", Placement::kSandwich},
                                                             {"output", Placement::kOutput}};
constexpr std::pair<const char*, FfnKind> kFfns[] = {{"none", FfnKind::kNone},
                                                     {"gated", FfnKind::kGated},
                                                     {"mlp", FfnKind::kPlain},
                                                     {"mixture", FfnKind::kMixture}};
constexpr std::pair<const char*, Activation> kActivationNames[] = {{"relu", Activation::kRelu},
                                                                   {"gelu", Activation::kGelu},
                                                                   {"gelu_tanh", Activation::kGeluTanh},
                                                                   {"silu", Activation::kSilu}};

constexpr std::pair<const char*, TensorChange> kChanges[] = {
    {"", TensorChange::kNone},
    {"reshaped", TensorChange::kReshaped},
    {"log of negative", TensorChange::kLogOfNegative}};

constexpr std::pair<const char*, LayerCacheKind> kLayerCaches[] = {{"pages", LayerCacheKind::kPages},
                                                                   {"window", LayerCacheKind::kWindow},
                                                                   {"state", LayerCacheKind::kState},
                                                                   {"shared", LayerCacheKind::kShared}};

// A (kind, values of its fields) pair, or None.
PositionOptions position_options(const nb::dict& spec, const char* name) {
    const auto value = field<std::optional<std::pair<std::string, std::vector<float>>>>(spec, name);
    if (!value) return {};
    const PositionEncoding* encoding = find_position_encoding(value->first);
    if (encoding == nullptr) raise(invalid("unknown positional encoding " + value->first), Origin::kArgument);
    return {encoding, value->second};
}

// A (kind, epsilon) pair.
NormSpec norm_of(const nb::dict& spec, const char* name) {
    const auto [kind, eps] = field<std::pair<std::string, float>>(spec, name);
    return {value_of("norm", kind, kNorms), eps};
}

Rotation rotation_of(const nb::dict& d) {
    Rotation r;
    r.layout = field<bool>(d, "is_interleaved") ? RopeLayout::kInterleaved : RopeLayout::kHalf;
    r.frequencies = field<std::vector<float>>(d, "frequencies");
    r.factor = field<float>(d, "factor");
    r.encoding = position_options(d, "encoding");
    return r;
}

AttentionSpec attention_of(const nb::dict& d) {
    AttentionSpec a;
    a.n_heads = field<int>(d, "n_heads");
    a.n_kv_heads = field<int>(d, "n_kv_heads");
    a.d_head = field<int>(d, "d_head");
    a.scale = field<float>(d, "scale");
    a.rule = {field<int>(d, "window"), field<float>(d, "softcap")};
    a.rotation = field<int>(d, "rotation");
    a.query_key_norm = norm_of(d, "query_key_norm");
    a.has_joint_query_key_norm = field<bool>(d, "has_joint_query_key_norm");
    a.value_norm = norm_of(d, "value_norm");
    a.has_output_gate = field<bool>(d, "has_output_gate");
    a.has_sink = field<bool>(d, "has_sink");
    a.source = field<int>(d, "source");
    a.temperature_slope = field<float>(d, "temperature_slope");
    a.temperature_interval = field<int>(d, "temperature_interval");
    return a;
}

FfnSpec ffn_of(const nb::dict& d) {
    FfnSpec f;
    f.kind = choice(d, "kind", kFfns);
    if (f.kind == FfnKind::kNone) return f;
    f.d_ff = field<int>(d, "d_ff");
    f.activation = choice(d, "activation", kActivationNames);
    f.activation_slope = field<float>(d, "activation_slope");
    f.limit = field<float>(d, "limit");
    f.up_offset = field<float>(d, "up_offset");
    f.is_squared = field<bool>(d, "is_squared");
    f.is_shifted = field<bool>(d, "is_shifted");
    if (f.kind != FfnKind::kMixture) return f;
    f.n_experts = field<int>(d, "n_experts");
    f.n_active = field<int>(d, "n_active");
    f.d_shared = field<int>(d, "d_shared");
    f.has_renormalized_experts = field<bool>(d, "has_renormalized_experts");
    return f;
}

// A (kind, fields) pair.
std::shared_ptr<const Recurrence> recurrence_of(const nb::dict& layer) {
    auto [kind, fields] = field<std::pair<std::string, std::map<std::string, double>>>(layer, "recurrence");
    auto recurrence = make_recurrence(kind, std::move(fields));
    if (!recurrence.ok()) raise(invalid("recurrence: " + recurrence.error().message), Origin::kArgument);
    return recurrence.value();
}

LayerSpec layer_of(const nb::dict& d) {
    LayerSpec layer;
    layer.norm = norm_of(d, "norm");
    layer.placement = choice(d, "placement", kPlacements);
    if (!field<nb::object>(d, "recurrence").is_none()) {
        layer.recurrence = recurrence_of(d);
    } else {
        layer.attention = attention_of(field<nb::dict>(d, "attention"));
    }
    layer.ffn = ffn_of(field<nb::dict>(d, "ffn"));
    layer.residual_scale = field<float>(d, "residual_scale");
    layer.has_output_scale = field<bool>(d, "has_output_scale");
    return layer;
}

}  // namespace

CacheType cache_type_of(const std::string& name) { return value_of("cache_type", name, kCacheTypes); }

LayerCache layer_cache_of(const LayerCacheFields& fields) {
    const auto& [kind, n_kv_heads, d_head, window, n_state_floats, source] = fields;
    if (n_state_floats < 0) raise(invalid("a state has a negative size"), Origin::kArgument);
    return {value_of("cache kind", kind, kLayerCaches), n_kv_heads, d_head, window,
            static_cast<size_t>(n_state_floats),        source};
}

ModelSpec spec_of(const nb::dict& d) {
    ModelSpec s;
    s.d_model = field<int>(d, "d_model");
    s.n_ctx = field<int>(d, "n_ctx");
    s.n_vocab = field<int>(d, "n_vocab");
    for (const nb::dict& rotation : field<std::vector<nb::dict>>(d, "rotations"))
        s.rotations.push_back(rotation_of(rotation));
    for (const nb::dict& layer : field<std::vector<nb::dict>>(d, "layers"))
        s.layers.push_back(layer_of(layer));
    s.embedding_norm = norm_of(d, "embedding_norm");
    s.final_norm = norm_of(d, "final_norm");
    s.n_positions = field<int>(d, "n_positions");
    s.embedding_position = position_options(d, "embedding_position");
    s.d_per_layer = field<int>(d, "d_per_layer");
    s.per_layer_activation = choice(d, "per_layer_activation", kActivationNames);
    s.embedding_scale = field<float>(d, "embedding_scale");
    s.has_tied_head = field<bool>(d, "has_tied_head");
    s.head_scale = field<float>(d, "head_scale");
    s.head_softcap = field<float>(d, "head_softcap");
    nb::dict identity(d);
    identity.attr("pop")("n_ctx");
    s.identity = nb::cast<std::string>(nb::repr(identity));
    return s;
}

TensorMap tensor_map_of(const StoredTensors& stored) {
    TensorMap map;
    for (const auto& [name, where] : stored) {
        const auto& [stored_name, n_rows, runs, change] = where;
        StoredTensor tensor{stored_name, {}, n_rows, value_of("change of a tensor", change, kChanges)};
        for (const auto& [first, n] : runs) tensor.runs.push_back({first, n});
        map[name] = std::move(tensor);
    }
    return map;
}

void set_cache(const nb::dict& cache, EngineConfig& config) {
    config.cache_type = choice(cache, "cache_type", kCacheTypes);
    config.cache_limits = {field<size_t>(cache, "max_bytes"), field<size_t>(cache, "max_idle_bytes")};
    config.window = {field<int>(cache, "window"), field<int>(cache, "sinks")};
}

}  // namespace zp
