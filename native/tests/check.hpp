// The test harness: tests register themselves; a failed check is counted and the test continues.
// ZP_CHECK(x) requires x to be true; ZP_EQ(a, b) requires a == b and prints both otherwise.
#pragma once

#include <algorithm>
#include <cstdio>
#include <exception>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace zp::test {

struct Case {
    const char* name;
    void (*run)();
};

inline std::vector<Case>& cases() {
    static std::vector<Case> all;
    return all;
}

inline int& failed_checks() {
    static int count = 0;
    return count;
}

struct Register {
    Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};

inline void fail(const char* file, int line, const std::string& what) {
    ++failed_checks();
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
}

template <class A, class B>
void expect_equal(const A& a, const B& b, const char* text, const char* file, int line) {
    if (a == b) return;
    std::ostringstream out;
    out << text << ": " << a << " is not " << b;
    fail(file, line, out.str());
}

// Runs the tests whose name contains one of `words` (all of them if no word selects) and none of the words
// that start with "-". "--list" prints the names instead. Returns the exit code: 1 if a test fails or no test
// runs.
inline int run_all(std::span<const char* const> words) {
    std::vector<std::string_view> selected, excluded;
    for (const std::string_view word : words) {
        if (word == "--list") {
            for (const Case& test : cases()) std::printf("%s\n", test.name);
            return 0;
        }
        const bool is_excluded = word.starts_with('-');
        (is_excluded ? excluded : selected).push_back(word.substr(is_excluded ? 1 : 0));
    }
    const auto has_any = [](std::string_view name, const std::vector<std::string_view>& parts) {
        return std::ranges::any_of(
            parts, [name](std::string_view part) { return name.find(part) != std::string_view::npos; });
    };
    int passed = 0, failed = 0;
    for (const Case& test : cases()) {
        if (!selected.empty() && !has_any(test.name, selected)) continue;
        if (has_any(test.name, excluded)) continue;
        int before = failed_checks();
        try {
            test.run();
        } catch (const std::exception& e) {
            fail(test.name, 0, std::string("threw ") + e.what());
        }
        bool ok = failed_checks() == before;
        if (!ok) std::fprintf(stderr, "FAILED %s\n", test.name);
        ++(ok ? passed : failed);
    }
    for (const auto& list : {selected, excluded}) {
        for (const std::string_view word : list) {
            const auto has = [word](const Case& test) {
                return std::string_view(test.name).find(word) != std::string_view::npos;
            };
            if (std::ranges::any_of(cases(), has)) continue;
            std::fprintf(stderr, "no test name contains `%s`\n", std::string(word).c_str());
            ++failed;
        }
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed > 0 || passed == 0 ? 1 : 0;
}

}  // namespace zp::test

#define ZP_TEST(name)                                                  \
    static void name();                                                \
    static const ::zp::test::Register zp_register_##name(#name, name); \
    static void name()
#define ZP_CHECK(...) \
    ((__VA_ARGS__) ? (void)0 : ::zp::test::fail(__FILE__, __LINE__, "not true: " #__VA_ARGS__))
#define ZP_EQ(a, b) ::zp::test::expect_equal((a), (b), #a " == " #b, __FILE__, __LINE__)
