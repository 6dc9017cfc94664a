# Toolchain file: cross-compiles for 64-bit ARM and runs the tests in an emulator. On Debian:
#   apt-get install g++-aarch64-linux-gnu qemu-user
#   cmake -S . -B build-arm -G Ninja --toolchain native/cmake/aarch64.cmake -DZP_TESTS=ON
#   cmake --build build-arm && ctest --test-dir build-arm --output-on-failure
# QEMU_CPU=cortex-a53 before ctest emulates a processor without the int8 dot products (SDOT).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
# A static executable: the emulator needs no ARM libraries.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
