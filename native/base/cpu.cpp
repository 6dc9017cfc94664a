#include "base/cpu.hpp"

#include <sched.h>
#ifdef ZP_X86
#include <cpuid.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <thread>

namespace zp {

namespace {

std::string read_model_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        if (line.rfind("model name", 0) != 0) continue;
        const size_t colon = line.find(':');
        return colon == std::string::npos ? "" : line.substr(std::min(line.size(), colon + 2));
    }
    return "unknown";
}

#ifdef ZP_X86
// Clang 14 has no name for it in __builtin_cpu_supports. Bit 29 of ECX in leaf 1 (Intel SDM, CPUID); the
// registers it works on are saved wherever AVX2 is reported.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1) != 0;
}
#endif

Cpu detect() {
    Cpu c;
    c.model = read_model_name();
#ifdef ZP_X86
    __builtin_cpu_init();
#define ZP_FEATURE(name) \
    if (__builtin_cpu_supports(name)) c.features.push_back(name)
    ZP_FEATURE("sse4.2");
    ZP_FEATURE("avx");
    ZP_FEATURE("avx2");
    ZP_FEATURE("fma");
    if (has_f16c()) c.features.push_back("f16c");
    ZP_FEATURE("avx512f");
    ZP_FEATURE("avx512bw");
    ZP_FEATURE("avx512vl");
    ZP_FEATURE("avx512dq");
    ZP_FEATURE("avx512vnni");
#undef ZP_FEATURE
    c.has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
                 __builtin_cpu_supports("bmi2");
    c.has_avx512_vnni = c.has_avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
#endif
    return c;
}

// The cgroup v2 or v1 CPU quota in processors, or 0 where there is none.
double cgroup_quota() {
    std::ifstream v2("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (v2 >> quota >> period && quota != "max" && period > 0) return std::atof(quota.c_str()) / period;
    std::ifstream v1_quota("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
    std::ifstream v1_period("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
    double limit = 0;
    if (v1_quota >> limit && v1_period >> period && limit > 0 && period > 0) return limit / period;
    return 0;
}

}  // namespace

const Cpu& cpu() {
    static const Cpu detected = detect();
    return detected;
}

int usable_processors() {
    int n = static_cast<int>(std::thread::hardware_concurrency());
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) n = CPU_COUNT(&allowed);
    const double quota = cgroup_quota();
    if (quota > 0) n = std::min(n, static_cast<int>(std::ceil(quota)));
    return std::max(n, 1);
}

}  // namespace zp
