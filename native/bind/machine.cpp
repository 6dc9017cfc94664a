// _native.machine, measure_bandwidth and measure_weights describe this computer; matmul and unpack run single
// kernels for the mirror tests.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <memory>

#include "base/cpu.hpp"
#include "base/threads.hpp"
#include "bind/gil.hpp"
#include "bind/status.hpp"
#include "kernels/packing.hpp"
#include "ops/matmul.hpp"
#include "runtime/bandwidth.hpp"

namespace nb = nanobind;

namespace zp {
namespace {

using Bytes = nb::ndarray<const uint8_t, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using FloatsIn = nb::ndarray<const float, nb::numpy, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using FloatsOut = nb::ndarray<float, nb::numpy, nb::ndim<2>>;

nb::dict machine() {
    nb::list isas;
    for (const char* isa : kInstructionSets)
        if (kernels_for(isa) != nullptr) isas.append(isa);
    nb::dict d;
    d["cpu"] = cpu().model;
    d["features"] = cpu().features;
    d["isas"] = isas;
    d["processors"] = usable_processors();
    return d;
}

using Measured = nb::typed<nb::tuple, double, double, double>;

template <class Measure>
Measured measured(int n_threads, const Measure& measure) {
    Result<Rate> result = [&] {
        GilRelease released;
        ThreadPool pool(n_threads);
        return measure(pool);
    }();
    if (!result.ok()) raise(result.error());
    const Rate& rate = result.value();
    return Measured(nb::make_tuple(rate.bytes_s, rate.low, rate.high));
}

Measured bandwidth(int n_threads) {
    return measured(n_threads, [](ThreadPool& pool) { return measure_bandwidth(pool); });
}

FloatsOut owned(std::unique_ptr<std::vector<float>> values, size_t rows, size_t cols) {
    std::vector<float>* data = values.get();
    nb::capsule owner(values.release(), [](void* p) noexcept { delete static_cast<std::vector<float>*>(p); });
    return FloatsOut(data->data(), {rows, cols}, owner);
}

const FormatInfo& format_by_name(const std::string& name) {
    for (const FormatInfo& f : kFormats)
        if (name == f.name) return f;
    raise(invalid("unknown weight format `" + name + "`"), Origin::kArgument);
}

// A matrix packed from the layout of the file, with its memory.
struct Packed {
    Matrix matrix;
    std::vector<uint8_t> bytes;
};

Packed pack(const FormatInfo& f, const Bytes& file_rows, size_t rows, size_t cols) {
    const bool has_whole_blocks = cols % f.block_weights == 0 && rows > 0 && cols > 0;
    if (!has_whole_blocks || file_rows.size() != rows * (cols / f.block_weights) * f.block_bytes)
        raise(invalid("file_rows does not have the bytes of a matrix of this shape and format"),
              Origin::kArgument);
    Packed packed{{f.format, static_cast<int>(rows), static_cast<int>(cols), nullptr}, {}};
    packed.bytes.resize(packed.matrix.n_bytes());
    packed.matrix.data = packed.bytes.data();
    for (int g = 0; g < packed.matrix.n_groups(); ++g) {
        pack_group(f.format, file_rows.data(), rows, cols, static_cast<size_t>(g),
                   packed.bytes.data() + static_cast<size_t>(g) * packed.matrix.group_bytes());
    }
    return packed;
}

Measured weights(const std::string& format, int n_threads, bool exact) {
    const Format weight_format = format_by_name(format).format;
    return measured(n_threads, [&](ThreadPool& pool) {
        return measure_weights(pool, best_kernels(), weight_format, exact);
    });
}

FloatsOut matmul(const std::string& isa, const std::string& format, const Bytes& file_rows, size_t rows,
                 size_t cols, const FloatsIn& x, bool exact) {
    const Kernels* kernels = kernels_for(isa.c_str());
    if (kernels == nullptr) raise(invalid("this processor cannot run " + isa), Origin::kArgument);
    const Packed w = pack(format_by_name(format), file_rows, rows, cols);
    if (x.shape(1) != cols)
        raise(invalid("x must have as many columns as the matrix, " + std::to_string(cols)),
              Origin::kArgument);
    const size_t n_tokens = x.shape(0);
    std::vector<QuantBlock> blocks;
    if (uses_int8(w.matrix, exact)) {
        blocks.resize(n_tokens * cols / kBlockCols);
        for (size_t t = 0; t < n_tokens; ++t)
            kernels->quantize(x.data() + t * cols, static_cast<int>(cols),
                              blocks.data() + t * cols / kBlockCols);
    }
    const size_t stride = static_cast<size_t>(padded(static_cast<int>(rows)));
    std::vector<float> y(n_tokens * stride);
    const Linear linear{w.matrix, nullptr};
    multiply(*kernels, exact, {&linear, y.data(), stride}, {x.data(), cols, blocks.data(), 1},
             static_cast<int>(n_tokens), 0, w.matrix.n_groups());
    auto out = std::make_unique<std::vector<float>>();
    for (size_t t = 0; t < n_tokens; ++t)
        out->insert(out->end(), y.begin() + static_cast<std::ptrdiff_t>(t * stride),
                    y.begin() + static_cast<std::ptrdiff_t>(t * stride + rows));
    return owned(std::move(out), n_tokens, rows);
}

FloatsOut unpack(const std::string& format, const Bytes& file_rows, size_t rows, size_t cols) {
    const Packed w = pack(format_by_name(format), file_rows, rows, cols);
    auto out = std::make_unique<std::vector<float>>(rows * cols);
    for (size_t r = 0; r < rows; ++r)
        unpack_row(w.matrix.format, w.matrix.data, cols, r, out->data() + r * cols);
    return owned(std::move(out), rows, cols);
}

}  // namespace

void bind_machine(nb::module_& m) {
    m.def("machine", &machine, nb::sig("def machine() -> dict[str, typing.Any]"),
          "cpu (model name), features, isas (instruction sets that run here, fastest first), processors "
          "(usable by this process).");
    m.def("measure_bandwidth", &bandwidth, nb::arg("n_threads"),
          "Memory bandwidth with n_threads in bytes per second: median, first and third quartile of half a "
          "second.");
    m.def("measure_weights", &weights, nb::arg("format"), nb::arg("n_threads"), nb::arg("exact"),
          "The same for the matmul kernel of one token reading weights of a format.");
    m.def("matmul", &matmul, nb::arg("isa"), nb::arg("format"), nb::arg("file_rows"), nb::arg("rows"),
          nb::arg("cols"), nb::arg("x"), nb::arg("exact"),
          "x [T, cols] times the transpose of a packed matrix: float32 [T, rows].");
    m.def("unpack", &unpack, nb::arg("format"), nb::arg("file_rows"), nb::arg("rows"), nb::arg("cols"),
          "Packs a matrix for the kernels and unpacks it: float32 [rows, cols].");
}

}  // namespace zp
