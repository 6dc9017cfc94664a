// Fills the table of kernels for one set of lanes.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/float_ops.hpp"
#include "kernels/shared/matmul.hpp"

namespace zp::shared {

template <class L, Activation kind>
constexpr void set_activation(Kernels& t) {
    t.activate[static_cast<int>(kind)] = activate<L, kind>;
    t.gate[static_cast<int>(kind)] = gate<L, kind>;
}

template <class L>
constexpr Kernels make_table(const char* isa) {
    Kernels t{};
    t.isa = isa;
    t.rms_norm = rms_norm<L>;
    t.quantize = quantize<L>;
    t.quantize_finely = quantize_finely<L>;
    t.layer_norm = layer_norm<L>;
    set_activation<L, Activation::kRelu>(t);
    set_activation<L, Activation::kGelu>(t);
    set_activation<L, Activation::kGeluTanh>(t);
    set_activation<L, Activation::kSilu>(t);
    t.cap_softly = cap_softly<L>;
    t.scale = scale<L>;
    t.add_scaled = add_scaled<L>;
    t.add = add<L>;
    t.matmul_int8[static_cast<int>(Format::kQ4_0)] = matmul_int8<L, CodesQ4_0, true>;
    t.matmul_int8[static_cast<int>(Format::kQ4_1)] = matmul_int8<L, CodesQ4_1, true>;
    t.matmul_int8[static_cast<int>(Format::kQ8_0)] = matmul_int8<L, CodesQ8_0, false>;
    t.matmul_float[static_cast<int>(Format::kF32)] = matmul_float<L, PlainColumns<L, FloatF32>>;
    t.matmul_float[static_cast<int>(Format::kF16)] = matmul_float<L, PlainColumns<L, FloatF16>>;
    t.matmul_float[static_cast<int>(Format::kBF16)] = matmul_float<L, PlainColumns<L, FloatBF16>>;
    t.matmul_float[static_cast<int>(Format::kQ4_0)] = matmul_float<L, CodeColumns<L, CodesQ4_0, true>>;
    t.matmul_float[static_cast<int>(Format::kQ4_1)] = matmul_float<L, CodeColumns<L, CodesQ4_1, true>>;
    t.matmul_float[static_cast<int>(Format::kQ8_0)] = matmul_float<L, CodeColumns<L, CodesQ8_0, false>>;
    t.attend_half = attend<L, uint16_t>;
    t.attend_float = attend<L, float>;
    t.log_sum_exp = log_sum_exp<L>;
    t.merge = merge<L>;
    t.normalize = normalize<L>;
    return t;
}

}  // namespace zp::shared
