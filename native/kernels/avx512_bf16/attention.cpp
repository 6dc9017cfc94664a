// The one kernel that differs from avx512's. Nothing from the standard library that is inline may be used
// here.
#include "kernels/shared/attention.hpp"

#include "kernels/avx512_bf16/lanes.hpp"

namespace zp::avx512_bf16 {

void attend(const AttendChunk& job);
void attend(const AttendChunk& job) { shared::attend<Lanes, shared::Bf16Pairs>(job); }

}  // namespace zp::avx512_bf16
