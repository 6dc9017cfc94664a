// _native.Sampler: the native sampler for numpy rows, used by Python engines and the mirror test.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bind/status.hpp"
#include "runtime/sampling/sampler.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

using RowIn = nb::ndarray<const float, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using RowOut = nb::ndarray<float, nb::numpy, nb::ndim<1>>;
using Ids = nb::ndarray<const int32_t, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

std::span<const int32_t> ids_of(const Ids& history) { return {history.data(), history.size()}; }

std::vector<float> copy_of(const RowIn& logits_V) {
    return std::vector<float>(logits_V.data(), logits_V.data() + logits_V.size());
}

Sampler make_sampler(const nb::list& steps, uint64_t seed) {
    std::vector<SamplerStep> specs;
    for (nb::handle item : steps) {
        const auto [name, fields] = nb::cast<std::pair<std::string, nb::dict>>(item);
        SamplerStep spec{name, {}};
        for (const auto [key, value] : fields) {
            spec.fields.emplace_back(nb::cast<std::string>(key), nb::cast<double>(value));
        }
        specs.push_back(std::move(spec));
    }
    Result<Sampler> sampler = Sampler::make(specs, seed);
    if (!sampler.ok()) raise(sampler.error(), Origin::kArgument);
    return std::move(sampler.value());
}

RowOut apply(Sampler& sampler, const RowIn& logits_V, const Ids& history, size_t n_prompt) {
    auto row_V = std::make_unique<std::vector<float>>(copy_of(logits_V));
    sampler.apply(*row_V, ids_of(history), n_prompt);
    std::vector<float>* data = row_V.get();
    nb::capsule owner(row_V.release(), [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    return RowOut(data->data(), {data->size()}, owner);
}

int32_t sample(Sampler& sampler, const RowIn& logits_V, const Ids& history, uint64_t position,
               size_t n_prompt) {
    std::vector<float> row_V = copy_of(logits_V);
    return sampler.sample(row_V, ids_of(history), position, n_prompt);
}

}  // namespace

void bind_sampling(nb::module_& m) {
    m.def("sampler_steps", &Sampler::step_names, "Names of the native sampling steps.");
    nb::class_<Sampler>(m, "Sampler", "The native sampler of one sequence; see sampling/draw.py.")
        .def(
            "__init__",
            [](Sampler* self, const nb::list& steps, uint64_t seed) {
                new (self) Sampler(make_sampler(steps, seed));
            },
            nb::arg("steps"), nb::arg("seed"),
            nb::sig("def __init__(self, steps: list[tuple[str, dict[str, float]]], seed: int) -> None"),
            "Steps by name and fields, in the order to run. Raises BadInput for an unknown step.")
        .def("apply", &apply, nb::arg("logits"), nb::arg("history"), nb::arg("n_prompt") = 0,
             "The logits [V] after all steps; unchanged if they contain NaN or +inf.")
        .def("sample", &sample, nb::arg("logits"), nb::arg("history"), nb::arg("position"),
             nb::arg("n_prompt") = 0, "Draws a token id; -1 if the maximum of the row is not finite.");
}

}  // namespace zp
