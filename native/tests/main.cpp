// Runs every registered test, or those whose name contains the first argument.
#include "check.hpp"

int main(int argc, char** argv) { return zp::test::run_all(argc > 1 ? argv[1] : ""); }
