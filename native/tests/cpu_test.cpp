// Number of usable processors: CPU quotas of nested cgroups.
#include "base/cpu.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "check.hpp"

using namespace zp;

namespace {

// A temporary cgroup file system.
struct Groups {
    std::string mount;
    Groups() {
        char name[] = "/tmp/zp_cpu_test_XXXXXX";
        mount = mkdtemp(name);
    }
    ~Groups() { std::filesystem::remove_all(mount); }
    void write(const std::string& file, const std::string& text) const {
        std::filesystem::create_directories(std::filesystem::path(mount + file).parent_path());
        std::ofstream(mount + file) << text;
    }
    double quota(const std::string& membership) const {
        write("/membership", membership);
        return cgroup_quota(mount + "/membership", mount);
    }
};

}  // namespace

ZP_TEST(cpu_is_unlimited_without_quotas) {
    const Groups groups;
    ZP_CHECK(std::isinf(cgroup_quota("/no/such/file", groups.mount)));
    ZP_CHECK(std::isinf(groups.quota("0::/user/session\n")));
    ZP_CHECK(std::isinf(groups.quota("broken\n\n1:2\n")));
    groups.write("/cpu.max", "max 100000\n");
    ZP_CHECK(std::isinf(groups.quota("0::/\n")));
}

ZP_TEST(cpu_quota_is_the_smallest_of_the_group_and_its_ancestors) {
    const Groups groups;
    groups.write("/cpu.max", "400000 100000\n");
    ZP_EQ(groups.quota(""), 4.0);
    groups.write("/user/cpu.max", "150000 100000\n");
    groups.write("/user/session/cpu.max", "max 100000\n");
    ZP_EQ(groups.quota("0::/user/session\n"), 1.5);
    groups.write("/user/session/cpu.max", "50000 100000\n");
    ZP_EQ(groups.quota("0::/user/session\n"), 0.5);
    ZP_EQ(groups.quota("0::/other\n"), 4.0);
}

ZP_TEST(cpu_quota_of_cgroups_v1) {
    const Groups groups;
    groups.write("/cpu/box/cpu.cfs_quota_us", "200000\n");
    groups.write("/cpu/box/cpu.cfs_period_us", "100000\n");
    ZP_EQ(groups.quota("7:cpu,cpuacct:/box/inner\n0::/\n"), 2.0);
    ZP_CHECK(std::isinf(groups.quota("7:cpuset:/box/inner\n")));
    groups.write("/cpu/box/cpu.cfs_quota_us", "-1\n");
    ZP_CHECK(std::isinf(groups.quota("7:cpu,cpuacct:/box\n")));
}

ZP_TEST(cpu_has_at_least_one_usable_processor) { ZP_CHECK(usable_processors() >= 1); }
