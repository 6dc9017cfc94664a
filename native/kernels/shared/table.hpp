// Builds the kernel table of one set of lanes.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/delta_rule.hpp"
#include "kernels/shared/float_ops.hpp"
#include "kernels/shared/matmul.hpp"
#include "kernels/shared/state_scan.hpp"
#include "kernels/shared/time_mix.hpp"

namespace zp::shared {

template <class L, Activation kind>
constexpr void set_activation(Kernels& t) {
    t.activate[static_cast<int>(kind)] = activate<L, kind>;
    t.gate[static_cast<int>(kind)] = gate<L, kind>;
}

template <class L, Format format>
constexpr void set_matmul(Kernels& t) {
    constexpr int kAt = static_cast<int>(format);
    t.matmul_float[kAt] = matmul_float<L, format>;
    if constexpr (is_quantized(format)) t.matmul_int8[kAt] = matmul_int8<L, format>;
}

template <class L>
constexpr Kernels make_table(const char* isa) {
    Kernels t{};
    t.isa = isa;
    t.rms_norm = rms_norm<L>;
    t.quantize = quantize<L>;
    t.quantize_with_residual = quantize_with_residual<L>;
    t.layer_norm = layer_norm<L>;
    set_activation<L, Activation::kRelu>(t);
    set_activation<L, Activation::kGelu>(t);
    set_activation<L, Activation::kGeluTanh>(t);
    set_activation<L, Activation::kSilu>(t);
    set_activation<L, Activation::kSigmoid>(t);
    set_activation<L, Activation::kSoftplus>(t);
    t.softcap_in_place = softcap_in_place<L>;
    t.exp = exponentiate<L>;
    t.scale = scale<L>;
    t.add_scaled = add_scaled<L>;
    t.add = add<L>;
    t.add_product = add_product<L>;
    t.dot = dot<L>;
    t.delta_rule = delta_rule<L>;
    t.state_scan = state_scan<L>;
    t.time_mix = time_mix<L>;
#define ZP_FORMAT(e, ...) set_matmul<L, Format::e>(t);
#include "formats/formats.def"
#undef ZP_FORMAT
    t.attend_half = attend<L, uint16_t>;
    t.attend_float = attend<L, float>;
    t.attend_int16 = attend<L, int16_t>;
    t.attend_int8 = attend<L, int8_t>;
    t.quantize_queries = quantize_queries<L>;
    t.log_sum_exp = log_sum_exp<L>;
    t.merge = merge<L>;
    t.normalize = normalize<L>;
    return t;
}

}  // namespace zp::shared
