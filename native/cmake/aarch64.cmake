# Builds for 64-bit ARM on a machine of another kind, and runs the tests in an emulator. On Debian:
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   cmake -S . -B build-arm -G Ninja --toolchain native/cmake/aarch64.cmake -DZP_TESTS=ON
#   cmake --build build-arm && ctest --test-dir build-arm --output-on-failure
# QEMU_CPU=cortex-a53 in front of ctest emulates a processor without dot products of bytes.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
# The emulator then needs no libraries of the other machine.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
