// What this processor can do, read once from cpuid (and from the OS's saved register state).
#pragma once

#include <string>
#include <vector>

namespace zp {

struct Cpu {
    std::string model;
    bool has_avx2 = false;         // with FMA, F16C and BMI2
    bool has_avx512_vnni = false;  // F, BW, VL, DQ and VNNI
    std::vector<std::string> features;
};

const Cpu& cpu();

// Processors this process may use: the smaller of its affinity mask and its cgroup quota, at least 1.
int usable_processors();

}  // namespace zp
