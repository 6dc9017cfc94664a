// The whole test harness: a test registers itself, a failed check is counted and the test goes on.
// ZP_CHECK(x) wants x to be true, ZP_EQ(a, b) wants a == b and prints both.
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

// Runs the tests whose name contains one of `words`, all of them where there is none; returns the exit code:
// 1 on a failure, or on a word that no test has.
inline int run_all(std::span<const char* const> words) {
    for (const char* word : words) {
        const auto has = [word](const Case& test) {
            return std::string_view(test.name).find(word) != std::string_view::npos;
        };
        if (std::ranges::any_of(cases(), has)) continue;
        std::fprintf(stderr, "no test has `%s` in its name\n", word);
        return 1;
    }
    int passed = 0, failed = 0;
    for (const Case& test : cases()) {
        const std::string_view name = test.name;
        const auto is_in_name = [name](const char* word) {
            return name.find(word) != std::string_view::npos;
        };
        if (!words.empty() && std::ranges::none_of(words, is_in_name)) continue;
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
