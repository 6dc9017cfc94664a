// Runs every registered test, or those that the arguments select: part of a name, -PART to exclude, --list.
#include "check.hpp"

int main(int argc, char** argv) {
    return zp::test::run_all({argv + (argc > 0 ? 1 : 0), argc > 1 ? static_cast<size_t>(argc) - 1 : 0});
}
