// _native.Engine and _native.Sequence: a loaded model. The GIL is released while the engine computes, and
// Python's signal handlers run between layers, so that Ctrl-C is answered within a layer.
#include "bind/engine.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <utility>

#include "bind/arrays.hpp"
#include "bind/tap_recorder.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

using Steps = std::vector<std::pair<std::string, std::unordered_map<std::string, double>>>;

// Asks Python, now and then, whether a signal handler raised.
class SignalCheck {
public:
    bool operator()() {
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(20)) return false;
        last_ = now;
        nb::gil_scoped_acquire acquired;
        return PyErr_CheckSignals() != 0;
    }

private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Waits until no other thread is inside. That thread needs the GIL to get out, so it is released meanwhile.
void close_engine(PyEngine& self) {
    if (self.user.load() == std::this_thread::get_id())
        raise(invalid("the model is at work and cannot be closed by a signal handler"), Origin::kArgument);
    const nb::gil_scoped_release released;
    const std::lock_guard<std::mutex> lock(self.mutex);
    self.engine.reset();
}

template <class T>
T field(const nb::dict& spec, const char* name) {
    if (!spec.contains(name))
        raise(invalid(std::string("the model specification lacks ") + name), Origin::kArgument);
    return nb::cast<T>(spec[name]);
}

// A part by name, as Python calls it.
template <class T, size_t n>
T choice(const nb::dict& spec, const char* name, const std::pair<const char*, T> (&known)[n]) {
    const std::string given = field<std::string>(spec, name);
    for (const auto& [known_name, value] : known)
        if (given == known_name) return value;
    raise(invalid(std::string("the native engine has no ") + name + " `" + given + "`"), Origin::kArgument);
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
    s.embedding_scale = field<float>(d, "embedding_scale");
    s.has_tied_head = field<bool>(d, "has_tied_head");
    s.head_scale = field<float>(d, "head_scale");
    s.head_softcap = field<float>(d, "head_softcap");
    return s;
}

using StoredTensors = std::unordered_map<std::string, std::tuple<std::string, int64_t, int64_t>>;

TensorMap tensor_map_of(const StoredTensors& stored) {
    TensorMap map;
    for (const auto& [name, where] : stored)
        map[name] = {std::get<0>(where), std::get<1>(where), std::get<2>(where)};
    return map;
}

constexpr std::pair<const char*, CacheType> kCacheTypes[] = {{"f32", CacheType::kFloat},
                                                             {"f16", CacheType::kHalf},
                                                             {"int16", CacheType::kInt16},
                                                             {"int8", CacheType::kInt8}};

void set_cache(const nb::dict& cache, EngineConfig& config) {
    config.cache_type = choice(cache, "cache_type", kCacheTypes);
    config.cache_limits = {field<size_t>(cache, "most_bytes"), field<size_t>(cache, "most_idle_bytes")};
    config.window = {field<int>(cache, "window"), field<int>(cache, "sinks")};
}

void open_engine(PyEngine* self, const std::vector<nb::bytes>& paths, const nb::dict& spec,
                 const StoredTensors& tensor_names, int n_threads, std::string isa, bool exact,
                 const nb::dict& cache, std::shared_ptr<LoadGate> load_gate) {
    if (paths.empty()) raise(invalid("no model file was given"), Origin::kArgument);
    // As the file system spells them, which need not be UTF-8.
    std::vector<std::string> files;
    for (const nb::bytes& path : paths) files.emplace_back(path.c_str(), path.size());
    EngineConfig config{std::move(files), spec_of(spec),  tensor_map_of(tensor_names),
                        n_threads,        std::move(isa), exact};
    set_cache(cache, config);
    config.load_gate = std::move(load_gate);
    Result<std::unique_ptr<Engine>> engine = [&] {
        nb::gil_scoped_release released;
        return Engine::open(std::move(config));
    }();
    if (!engine.ok()) raise(engine.error(), Origin::kModelFile);
    new (self) PyEngine(std::move(engine.value()));
}

int64_t submit(PyEngine& self, const Ids& prompt, const Steps& steps, uint64_t seed,
               const std::vector<int32_t>& stop_ids, int max_tokens, bool logprob,
               const std::vector<EditFields>& edits) {
    const InUse guard(self);
    std::vector<SamplerStep> specs;
    for (const auto& [name, fields] : steps) specs.push_back({name, {fields.begin(), fields.end()}});
    Result<Sampler> sampler = Sampler::make(specs, seed);
    if (!sampler.ok()) raise(sampler.error(), Origin::kArgument);
    GenerateRequest request{{prompt.data(), prompt.data() + prompt.size()},
                            std::move(sampler.value()),
                            {stop_ids.begin(), stop_ids.end()},
                            max_tokens,
                            logprob,
                            edits_of(edits, self.engine->spec())};
    Result<int64_t> id = self.engine->submit(std::move(request));
    if (!id.ok()) fail(id.error());
    return id.value();
}

nb::object finish_name(Finish finish) {
    switch (finish) {
        case Finish::kStop:
            return nb::str("stop");
        case Finish::kLength:
            return nb::str("length");
        case Finish::kCancelled:
            return nb::str("cancelled");
        default:
            return nb::none();
    }
}

nb::list step(PyEngine& self) {
    const InUse guard(self);
    Result<std::vector<StepEvent>> events = [&] {
        nb::gil_scoped_release released;
        SignalCheck interrupt;
        return self.engine->step(std::ref(interrupt));
    }();
    if (!events.ok()) fail(events.error());
    nb::list out;
    for (const StepEvent& e : events.value()) {
        out.append(nb::make_tuple(e.request, e.token, e.logprob, finish_name(e.finish), e.n_prompt,
                                  e.n_cached, e.n_read));
    }
    return out;
}

nb::ndarray<float, nb::numpy> score(PyEngine& self, const Ids& ids) {
    const InUse guard(self);
    auto out = std::make_unique<std::vector<float>>(ids.size() > 0 ? ids.size() - 1 : 0);
    const Status status = [&] {
        nb::gil_scoped_release released;
        SignalCheck interrupt;
        return self.engine->score(span_of(ids), *out, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error());
    const size_t n = out->size();
    return owned(std::move(out), {n});
}

nb::tuple trace(PyEngine& self, const Ids& ids, const std::vector<ReadingFields>& readings,
                const LensFields& lens, const std::vector<EditFields>& edits) {
    const InUse guard(self);
    const ModelSpec& spec = self.engine->spec();
    // Checked before memory is taken for what will be seen.
    if (ids.size() > static_cast<size_t>(spec.n_ctx))
        raise(invalid("more tokens than the context holds"), Origin::kArgument);
    Probe probe = probe_of(span_of(ids), readings, lens, spec);
    const std::shared_ptr<const Edits> changes = edits_of(edits, spec);
    const Status status = [&] {
        nb::gil_scoped_release released;
        SignalCheck interrupt;
        return self.engine->trace(span_of(ids), probe, changes, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error());
    return seen_of(probe, ids.size(), lens, static_cast<size_t>(spec.n_vocab));
}

PySequence open_sequence(PyEngine& self, const std::vector<EditFields>& edits) {
    const InUse guard(self);
    Result<Sequence*> sequence = self.engine->open_sequence(edits_of(edits, self.engine->spec()));
    if (!sequence.ok()) fail(sequence.error());
    return {&self, sequence.value()};
}

nb::ndarray<float, nb::numpy> extend(PySequence& self, const Ids& ids) {
    const InUse guard(*self.owner);
    require_open(self);
    Engine& engine = *self.owner->engine;
    const size_t n_vocab = static_cast<size_t>(engine.spec().n_vocab);
    // Checked before memory is taken for the logits.
    if (ids.size() > static_cast<size_t>(engine.most_tokens()))
        raise(invalid("more tokens than the context holds"), Origin::kArgument);
    auto out = std::make_unique<std::vector<float>>(ids.size() * n_vocab);
    const Status status = [&] {
        nb::gil_scoped_release released;
        SignalCheck interrupt;
        return engine.extend(self.sequence, span_of(ids), *out, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error());
    return owned(std::move(out), {ids.size(), n_vocab});
}

void rollback(PySequence& self, int n) {
    const InUse guard(*self.owner);
    require_open(self);
    if (Status status = self.owner->engine->rollback(self.sequence, n); !status.ok()) fail(status.error());
}

nb::dict describe(PyEngine& self) {
    const InUse guard(self);
    nb::dict d;
    d["isa"] = self.engine->isa();
    d["n_threads"] = self.engine->n_threads();
    d["weight_bytes"] = self.engine->weight_bytes();
    d["cache_bytes"] = self.engine->cache_bytes();
    d["used_cache_bytes"] = self.engine->used_cache_bytes();
    d["page_bytes"] = self.engine->page_bytes();
    d["most_tokens"] = self.engine->most_tokens();
    d["is_exact"] = self.engine->is_exact();
    return d;
}

void bind_load_gate(nb::module_& m) {
    nb::class_<LoadGate>(m, "Hold", "Keeps an Engine that is being made from reading its last weights.")
        .def(nb::init<>())
        .def(
            "release",
            [](LoadGate& self) {
                trim_heap();  // for which the weights waited
                self.open();
            },
            "Let them be read.")
        .def("abandon", &LoadGate::abandon, "Let the Engine fail: it is not wanted any more.");
}

}  // namespace

void bind_engine(nb::module_& m) {
    bind_load_gate(m);
    nb::class_<PyEngine> engine(m, "Engine", "A loaded model; use zeropoint.load().");
    engine
        .def("__init__", &open_engine, nb::arg("paths"), nb::arg("spec"), nb::arg("tensor_names"),
             nb::arg("n_threads"), nb::arg("isa"), nb::arg("exact"), nb::arg("cache"),
             nb::arg("hold").none() = nb::none(),
             nb::sig("def __init__(self, paths: typing.Sequence[bytes], spec: dict[str, object], "
                     "tensor_names: typing.Mapping[str, tuple[str, int, int]], n_threads: int, isa: str, "
                     "exact: bool, cache: dict[str, object], hold: Hold | None = None) -> None"))
        .def("submit", &submit, nb::arg("prompt"), nb::arg("steps"), nb::arg("seed"), nb::arg("stop_ids"),
             nb::arg("max_tokens"), nb::arg("logprob"), nb::arg("edits"),
             "Queues a request and returns its number.")
        .def(
            "cancel",
            [](PyEngine& self, int64_t request) {
                const InUse guard(self);
                self.engine->cancel(request);
            },
            nb::arg("request"))
        .def("step", &step,
             nb::sig("def step(self) -> list[tuple[int, int | None, float | None, "
                     "typing.Literal['stop', 'length', 'cancelled'] | None, int, int, int]]"),
             "Advances every request: tuples (request, token, logprob, finish, n_prompt, n_cached, n_read).")
        .def("has_work",
             [](PyEngine& self) {
                 const InUse guard(self);
                 return self.engine->has_work();
             })
        .def("score", &score, nb::arg("ids"), "Natural-log probability of ids[1:]: float32 [T - 1].")
        .def(
            "trace", &trace, nb::arg("ids"), nb::arg("readings"), nb::arg("lens"), nb::arg("edits"),
            nb::sig(
                "def trace(self, ids: numpy.typing.NDArray[numpy.int32], "
                "readings: typing.Sequence[tuple[str, int, typing.Sequence[int]]], "
                "lens: tuple[typing.Sequence[int], int, typing.Sequence[int], bool], "
                "edits: typing.Sequence[tuple[str, int, int, int, int, int, float, typing.Sequence[float]]]) "
                "-> tuple[list[numpy.typing.NDArray[numpy.float32]], "
                "list[dict[str, numpy.typing.NDArray[typing.Any]]]]"),
            "What is seen while ids are read: an array [T, width] a reading (point, layer, heads), and for "
            "each "
            "layer of the lens (layers, n_top, named, has_logits) a dict of arrays.")
        .def("open_sequence", &open_sequence, nb::arg("edits"), nb::keep_alive<0, 1>(),
             "A sequence to decode by hand.")
        .def(
            "describe", &describe, nb::sig("def describe(self) -> dict[str, typing.Any]"),
            "isa, n_threads, weight_bytes, cache_bytes, used_cache_bytes, page_bytes, most_tokens, is_exact.")
        .def("close", &close_engine, "Frees weights and cache; later calls raise.");
    nb::class_<PySequence> sequence(m, "Sequence",
                                    "One sequence of a loaded model under the caller's control.");
    sequence.def("extend", &extend, nb::arg("ids"), "Appends ids; the logits after each: float32 [T, V].")
        .def("rollback", &rollback, nb::arg("n"), "Forgets the last n tokens.")
        .def("close", &PySequence::close)
        .def_prop_ro("n_tokens", [](PySequence& self) {
            const InUse guard(*self.owner);
            require_open(self);
            return self.sequence->tokens.size();
        });
    bind_saved_cache(engine, sequence);
}

}  // namespace zp
