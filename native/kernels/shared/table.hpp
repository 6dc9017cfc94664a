// Fills the table of kernels for one set of lanes.
#pragma once

#include "kernels/shared/attention.hpp"
#include "kernels/shared/float_ops.hpp"
#include "kernels/shared/matmul.hpp"

namespace zp::shared {

template <class L>
constexpr Kernels make_table(const char* isa) {
    Kernels t{};
    t.isa = isa;
    t.rms_norm = rms_norm<L>;
    t.quantize = quantize<L>;
    t.quantize_finely = quantize_finely<L>;
    t.swiglu = swiglu<L>;
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
