// What this processor can do, read once: on x86 from cpuid (and from the OS's saved register state), on ARM
// from the operating system.
#pragma once

#include <string>
#include <vector>

namespace zp {

struct Cpu {
    std::string model;
    bool has_avx2 = false;         // with FMA, F16C and BMI2
    bool has_avx512_vnni = false;  // F, BW, VL, DQ and VNNI
    bool has_dotprod = false;      // SDOT and UDOT of AArch64
    std::vector<std::string> features;
};

const Cpu& cpu();

// The smallest CPU quota, in processors, of the cgroups that a process is in by its file of memberships
// (/proc/self/cgroup); infinity where none has one. `mount` is where the groups lie.
double cgroup_quota(const std::string& membership, const std::string& mount);

// Processors this process may use: the smaller of its affinity mask and its cgroup quota, at least 1.
int usable_processors();

}  // namespace zp
