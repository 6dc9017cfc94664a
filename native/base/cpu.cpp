#include "base/cpu.hpp"

#ifdef __APPLE__
#include <sys/sysctl.h>
#else
#include <sched.h>
#endif
#ifdef ZP_X86
#include <cpuid.h>
#elif defined(ZP_ARM64) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <thread>

namespace zp {

namespace {

#ifdef __APPLE__
std::string read_model_name() {
    char name[256] = {};
    size_t n_bytes = sizeof name - 1;
    return sysctlbyname("machdep.cpu.brand_string", name, &n_bytes, nullptr, 0) == 0 ? name : "unknown";
}
#else
std::string read_model_name() {
    std::ifstream info("/proc/cpuinfo");
    std::string line;
    while (std::getline(info, line)) {
        if (line.rfind("model name", 0) != 0) continue;
        const size_t colon = line.find(':');
        return colon == std::string::npos ? "" : line.substr(std::min(line.size(), colon + 2));
    }
    // ARM boards have no such line; the device tree has a NUL-terminated model name.
    std::ifstream board("/proc/device-tree/model");
    return std::getline(board, line, '\0') && !line.empty() ? line : "unknown";
}
#endif

#ifdef ZP_X86
// Clang 14 does not know "f16c" in __builtin_cpu_supports: bit 29 of ECX in leaf 1 (Intel SDM, CPUID). The OS
// saves the registers that it uses wherever AVX2 is reported.
bool has_f16c() {
    unsigned a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c >> 29 & 1) != 0;
}

void detect_features(Cpu& c) {
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
    ZP_FEATURE("avx512bf16");
#undef ZP_FEATURE
    c.has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c() &&
                 __builtin_cpu_supports("bmi2");
    c.has_avx512_vnni = c.has_avx2 && __builtin_cpu_supports("avx512f") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
#elif defined(ZP_ARM64)
#ifdef __APPLE__
bool has_dotprod() {
    int has = 0;
    size_t n_bytes = sizeof has;
    return sysctlbyname("hw.optional.arm.FEAT_DotProd", &has, &n_bytes, nullptr, 0) == 0 && has != 0;
}
#else
bool has_dotprod() { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#endif

void detect_features(Cpu& c) {
    c.features.push_back("neon");  // part of AArch64
    c.has_dotprod = has_dotprod();
    if (c.has_dotprod) c.features.push_back("dotprod");
}
#else
void detect_features(Cpu&) {}
#endif

Cpu detect() {
    Cpu c;
    c.model = read_model_name();
    detect_features(c);
    return c;
}

// The quota of one cgroup, v2 or v1, in processors; infinity if it sets none.
double quota_of(const std::string& folder) {
    std::ifstream v2(folder + "/cpu.max");
    std::string quota;
    double period = 0;
    if (v2 >> quota >> period && quota != "max" && period > 0) return std::atof(quota.c_str()) / period;
    std::ifstream v1_quota(folder + "/cpu.cfs_quota_us");
    std::ifstream v1_period(folder + "/cpu.cfs_period_us");
    double limit = 0;
    if (v1_quota >> limit && v1_period >> period && limit > 0 && period > 0) return limit / period;
    return std::numeric_limits<double>::infinity();
}

// The smallest quota of a group and its ancestors. In a container, some of the ancestors may not be readable.
double smallest_quota(const std::string& mount, std::string group) {
    double smallest = quota_of(mount);
    while (group.size() > 1) {
        smallest = std::min(smallest, quota_of(mount + group));
        group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
    }
    return smallest;
}

}  // namespace

double cgroup_quota(const std::string& membership, const std::string& mount) {
    double smallest = std::min(quota_of(mount), quota_of(mount + "/cpu"));
    std::ifstream lines(membership);
    std::string line;
    while (std::getline(lines, line)) {  // "number:controllers:group"; v2 has no controllers
        const size_t first = line.find(':');
        const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const std::string controllers = line.substr(first, second - first) + ",";
        const bool is_v2 = controllers == ":,";
        if (is_v2 || controllers.find(":cpu,") == 0 || controllers.find(",cpu,") != std::string::npos)
            smallest =
                std::min(smallest, smallest_quota(mount + (is_v2 ? "" : "/cpu"), line.substr(second + 1)));
    }
    return smallest;
}

const Cpu& cpu() {
    static const Cpu detected = detect();
    return detected;
}

int usable_processors() {
    int n = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) n = CPU_COUNT(&allowed);
#endif
    const double quota = cgroup_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return std::max(static_cast<int>(std::min<double>(n, std::ceil(quota))), 1);
}

}  // namespace zp
