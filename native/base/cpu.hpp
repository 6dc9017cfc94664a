// Features of this processor, detected once: on x86 through cpuid (including the register state that the OS
// saves), on ARM through the operating system.
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

// The smallest CPU quota, in processors, of the cgroups listed in the file `membership` (/proc/self/cgroup)
// and their parents; infinity if none sets one. `mount` is the root of the cgroup file system.
double cgroup_quota(const std::string& membership, const std::string& mount);

// Processors that this process may use: the minimum of its affinity mask and its cgroup quota, at least 1.
int usable_processors();

}  // namespace zp
