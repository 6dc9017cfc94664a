// _native.Engine and _native.Sequence. The GIL is released while the engine computes, and Python signal
// handlers run between layers, so that Ctrl-C takes effect within one layer.
#include "bind/engine.hpp"

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_map.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <utility>

#include "bind/arrays.hpp"
#include "bind/config.hpp"
#include "bind/tap_recorder.hpp"
#include "runtime/context_full.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

using Masks = nb::ndarray<const uint32_t, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Steps = std::vector<std::pair<std::string, std::unordered_map<std::string, double>>>;

// An Interrupt: true if the model is being closed, the interpreter is ending, or one of Python's pending
// signal handlers raised, which it runs at most every 20 ms.
class Stop {
public:
    explicit Stop(const PyEngine& owner) : owner_(owner) {}
    bool operator()() {
        if (owner_.is_closing.load(std::memory_order_relaxed) || must_stop_for_exit()) return true;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(20)) return false;
        last_ = now;
        return run_signal_handlers();
    }

private:
    const PyEngine& owner_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Stops the call of another thread and waits until it has left. Releases the GIL meanwhile, because that
// thread needs it to leave.
void close_engine(PyEngine& self) {
    if (self.user.load() == std::this_thread::get_id())
        raise(invalid("a signal handler cannot close the model while it computes"), Origin::kArgument);
    const GilRelease released;
    self.is_closing = true;
    const std::lock_guard<std::mutex> lock(self.mutex);
    self.engine.reset();
}

// Cancels now, or lets the thread inside do it between two layers.
void cancel(PyEngine& self, int64_t request) {
    {
        const std::lock_guard<std::mutex> lock(self.pending_mutex);
        self.cancelled.push_back(request);
        self.has_cancels = true;
    }
    if (self.user.load() == std::this_thread::get_id()) return;  // from a signal handler
    const std::unique_lock<std::mutex> lock(self.mutex, std::try_to_lock);
    if (lock.owns_lock() && self.engine != nullptr) self.handle_pending();
}

void open_engine(PyEngine* self, const std::vector<nb::bytes>& paths, const nb::dict& spec,
                 const StoredTensors& tensor_names, int n_threads, std::string isa, bool exact,
                 const nb::dict& cache, std::shared_ptr<LoadGate> load_gate) {
    if (paths.empty()) raise(invalid("paths is empty; give at least one model file"), Origin::kArgument);
    // File system bytes, which need not be UTF-8.
    std::vector<std::string> files;
    for (const nb::bytes& path : paths) files.emplace_back(path.c_str(), path.size());
    EngineConfig config{std::move(files), spec_of(spec),  tensor_map_of(tensor_names),
                        n_threads,        std::move(isa), exact};
    set_cache(cache, config);
    if (load_gate == nullptr) {
        load_gate = std::make_shared<LoadGate>();
        load_gate->open();
    }
    config.load_gate = load_gate;
    const NativeWork work;
    const AbandonedAtExit guard(std::move(load_gate));
    Result<std::unique_ptr<Engine>> engine = [&] {
        GilRelease released;
        return Engine::open(std::move(config));
    }();
    if (!engine.ok()) raise(engine.error(), Origin::kModelFile);
    new (self) PyEngine(std::move(engine.value()));
}

int64_t submit(PyEngine& self, const Ids& prompt, const Steps& steps, uint64_t seed,
               const std::vector<int32_t>& stop_ids, int max_tokens, bool logprob, int n_top_logprobs,
               const std::vector<InterventionFields>& interventions,
               const std::vector<int32_t>& logprob_ids) {
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
                            make_interventions(interventions, self.engine->spec()),
                            n_top_logprobs,
                            logprob_ids};
    Result<int64_t> id = self.engine->submit(std::move(request));
    if (!id.ok()) fail(id.error(), self);
    return id.value();
}

void steer(PyEngine& self, int64_t request, const Ids& draft, const std::optional<Masks>& masks) {
    const InUse guard(self);
    Steering steering;
    steering.draft.assign(draft.data(), draft.data() + draft.size());
    if (masks) steering.masks.assign(masks->data(), masks->data() + masks->size());
    if (Status status = self.engine->steer(request, std::move(steering)); !status.ok())
        fail(status.error(), self);
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
    const NativeWork work;
    const InUse guard(self);
    Stop stop(self);
    const auto interrupt = [&] { return self.has_cancels.load(std::memory_order_relaxed) || stop(); };
    const auto run = [&] {
        const GilRelease released;
        return self.engine->step(interrupt);
    };
    Result<std::vector<StepEvent>> events = run();
    while (!events.ok() && events.error().fault == Fault::kCancelled && self.has_cancels &&
           PyErr_Occurred() == nullptr && !self.is_closing && !must_stop_for_exit()) {
        self.handle_pending();
        events = run();
    }
    if (!events.ok()) fail(events.error(), self);
    nb::list out;
    for (const StepEvent& e : events.value()) {
        nb::list top;
        for (const TokenLogprob& t : e.top) top.append(nb::make_tuple(t.token, t.logprob));
        out.append(nb::make_tuple(e.request, e.token, e.logprob, finish_name(e.finish), e.n_prompt,
                                  e.n_cached, e.n_read, top));
    }
    return out;
}

nb::object score(PyEngine& self, const Ids& ids) {
    const NativeWork work;
    const InUse guard(self);
    auto out = std::make_unique<std::vector<float>>(ids.size() > 0 ? ids.size() - 1 : 0);
    const Status status = [&] {
        GilRelease released;
        Stop interrupt(self);
        return self.engine->score(span_of(ids), *out, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error(), self);
    const size_t n = out->size();
    return nb::cast(owned(std::move(out), {n}));  // runs Python code: within `work`
}

nb::tuple trace(PyEngine& self, const Ids& ids, const std::vector<TapFields>& taps, const LensFields& lens,
                const std::vector<InterventionFields>& interventions) {
    const NativeWork work;
    const InUse guard(self);
    const ModelSpec& spec = self.engine->spec();
    // Before allocating the records.
    if (ids.size() > static_cast<size_t>(spec.n_ctx))
        raise(context_full("the text has", ids.size(), spec.n_ctx), Origin::kArgument);
    TapRecorder recorder = make_tap_recorder(span_of(ids), taps, lens, spec);
    const std::shared_ptr<const Interventions> native = make_interventions(interventions, spec);
    const Status status = [&] {
        GilRelease released;
        Stop interrupt(self);
        return self.engine->trace(span_of(ids), recorder, native, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error(), self);
    return arrays_of(recorder, ids.size(), lens, static_cast<size_t>(spec.n_vocab));
}

PySequence open_sequence(PyEngine& self, const std::vector<InterventionFields>& interventions) {
    const InUse guard(self);
    Result<Sequence*> sequence =
        self.engine->open_sequence(make_interventions(interventions, self.engine->spec()));
    if (!sequence.ok()) fail(sequence.error(), self);
    return {&self, sequence.value()};
}

nb::object extend(PySequence& self, const Ids& ids) {
    const NativeWork work;
    const InUse guard(*self.owner);
    require_open(self);
    Engine& engine = *self.owner->engine;
    const size_t n_vocab = static_cast<size_t>(engine.spec().n_vocab);
    // Before allocating the logits.
    const size_t n_tokens = self.sequence->tokens.size() + ids.size();
    if (n_tokens > static_cast<size_t>(engine.max_tokens()))
        raise(context_full("the sequence would have", n_tokens, engine.max_tokens()), Origin::kArgument);
    auto out = std::make_unique<std::vector<float>>(ids.size() * n_vocab);
    const Status status = [&] {
        GilRelease released;
        Stop interrupt(*self.owner);
        return engine.extend(self.sequence, span_of(ids), *out, std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error(), *self.owner);
    return nb::cast(owned(std::move(out), {ids.size(), n_vocab}));
}

void read(PySequence& self, const Ids& ids) {
    const NativeWork work;
    const InUse guard(*self.owner);
    require_open(self);
    const Status status = [&] {
        GilRelease released;
        Stop interrupt(*self.owner);
        return self.owner->engine->read(self.sequence, span_of(ids), std::ref(interrupt));
    }();
    if (!status.ok()) fail(status.error(), *self.owner);
}

void rollback(PySequence& self, int n) {
    const InUse guard(*self.owner);
    require_open(self);
    if (Status status = self.owner->engine->rollback(self.sequence, n); !status.ok())
        fail(status.error(), *self.owner);
}

bool has_work(PyEngine& self) {
    const InUse guard(self);
    return self.engine->has_work();
}

nb::dict describe(PyEngine& self) {
    const InUse guard(self);
    nb::dict d;
    d["isa"] = self.engine->isa();
    d["n_threads"] = self.engine->n_threads();
    d["weight_bytes"] = self.engine->weight_bytes();
    d["cache_bytes"] = self.engine->cache_bytes();
    d["used_cache_bytes"] = self.engine->used_cache_bytes();
    d["max_tokens"] = self.engine->max_tokens();
    d["n_waiting"] = self.engine->scheduler().n_waiting();
    d["n_running"] = self.engine->scheduler().n_running();
    d["n_preempted"] = self.engine->scheduler().n_preempted();
    d["is_exact"] = self.engine->is_exact();
    return d;
}

void bind_load_gate(nb::module_& m) {
    nb::class_<LoadGate>(m, "LoadGate", "Delays the last weights of a loading Engine until open().")
        .def(nb::init<>())
        .def(
            "open",
            [](LoadGate& self) {
                trim_heap();  // returns the memory that the weights were waiting for
                self.open();
            },
            "Lets the Engine read its last weights.")
        .def("abandon", &LoadGate::abandon, "Cancels the load: the Engine constructor raises.");
}

nb::class_<PySequence> bind_sequence(nb::module_& m) {
    nb::class_<PySequence> sequence(m, "Sequence",
                                    "One sequence of a loaded model, decoded step by step by the caller.");
    sequence
        .def("extend", &extend, nb::arg("ids"),
             nb::sig("def extend(self, ids: numpy.typing.NDArray[numpy.int32]) -> "
                     "numpy.typing.NDArray[numpy.float32]"),
             "Appends ids and returns the logits after each: float32 [T, V].")
        .def("read", &read, nb::arg("ids"),
             nb::sig("def read(self, ids: numpy.typing.NDArray[numpy.int32]) -> None"),
             "Appends ids without computing logits.")
        .def("rollback", &rollback, nb::arg("n"), "Removes the last n tokens.")
        .def("close", &PySequence::close)
        .def_prop_ro("n_tokens", [](PySequence& self) {
            const InUse guard(*self.owner);
            require_open(self);
            return self.sequence->tokens.size();
        });
    return sequence;
}

}  // namespace

void bind_engine(nb::module_& m) {
    bind_load_gate(m);
    nb::class_<PyEngine> engine(m, "Engine", "A loaded model; use zeropoint.load().");
    engine
        .def("__init__", &open_engine, nb::arg("paths"), nb::arg("spec"), nb::arg("tensor_names"),
             nb::arg("n_threads"), nb::arg("isa"), nb::arg("exact"), nb::arg("cache"),
             nb::arg("load_gate").none() = nb::none(),
             nb::sig(
                 "def __init__(self, paths: typing.Sequence[bytes], spec: dict[str, object], "
                 "tensor_names: typing.Mapping[str, tuple[str, int, typing.Sequence[tuple[int, int]], str]], "
                 "n_threads: int, isa: str, "
                 "exact: bool, cache: dict[str, object], load_gate: LoadGate | None = None) -> None"))
        .def("submit", &submit, nb::arg("prompt"), nb::arg("steps"), nb::arg("seed"), nb::arg("stop_ids"),
             nb::arg("max_tokens"), nb::arg("logprob"), nb::arg("n_top_logprobs"), nb::arg("interventions"),
             nb::arg("logprob_ids"), "Queues a request and returns its id.")
        .def("steer", &steer, nb::arg("request"), nb::arg("draft"), nb::arg("masks") = nb::none(),
             nb::sig("def steer(self, request: int, draft: numpy.typing.NDArray[numpy.int32], "
                     "masks: numpy.typing.NDArray[numpy.uint32] | None = None) -> None"),
             "Guesses of a request's next tokens [K], and the tokens allowed at each place [K + 1, V / 32 "
             "rounded up], as bits.")
        .def("cancel", &cancel, nb::arg("request"),
             "Ends a request; may be called while another thread is inside step().")
        .def("step", &step,
             nb::sig("def step(self) -> list[tuple[int, int | None, float | None, "
                     "typing.Literal['stop', 'length', 'cancelled'] | None, int, int, int, "
                     "list[tuple[int, float]]]]"),
             "Advances the scheduled requests by one chunk of prompt or one token, more if guesses are "
             "right. Returns tuples (request, "
             "token, logprob, finish, n_prompt, n_cached, n_read, top), where top lists (token, logprob) of "
             "the "
             "most probable tokens, then those of logprob_ids.")
        .def("has_work", &has_work)
        .def("score", &score, nb::arg("ids"),
             nb::sig("def score(self, ids: numpy.typing.NDArray[numpy.int32]) -> "
                     "numpy.typing.NDArray[numpy.float32]"),
             "Natural log-probability of ids[1:] given their predecessors: float32 [T - 1].")
        .def("trace", &trace, nb::arg("ids"), nb::arg("taps"), nb::arg("lens"), nb::arg("interventions"),
             nb::sig("def trace(self, ids: numpy.typing.NDArray[numpy.int32], "
                     "taps: typing.Sequence[tuple[str, int, typing.Sequence[int]]], "
                     "lens: tuple[typing.Sequence[int], int, typing.Sequence[int], bool], "
                     "interventions: typing.Sequence[tuple[str, int, int, int, int, int, float, "
                     "typing.Sequence[float]]]) "
                     "-> tuple[list[numpy.typing.NDArray[numpy.float32]], "
                     "list[dict[str, numpy.typing.NDArray[typing.Any]]]]"),
             "Runs ids from an empty cache. Returns one array [T, width] per tap (name, layer, heads), and "
             "one "
             "dict of arrays per layer of the lens (layers, n_top, named, has_logits).")
        .def("open_sequence", &open_sequence, nb::arg("interventions"), nb::keep_alive<0, 1>(),
             "Opens an empty sequence to decode step by step.")
        .def("describe", &describe, nb::sig("def describe(self) -> dict[str, typing.Any]"),
             "isa, n_threads, weight_bytes, cache_bytes, used_cache_bytes, max_tokens, is_exact, "
             "and the requests by state: n_waiting, n_running, n_preempted.")
        .def("close", &close_engine,
             "Stops the call of another thread, then frees weights and cache; later calls raise BadInput.");
    nb::class_<PySequence> sequence = bind_sequence(m);
    bind_kv_snapshot(engine, sequence);
}

}  // namespace zp
