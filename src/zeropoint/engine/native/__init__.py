"""The native engine: C++ inference of GGUF models behind the `Engine` contract.

Read `model_spec` (blueprint to native specification), `kv_cache` (cache options and sizes), then `engine`.
The C++ code is in `native/`; begin with `native/runtime/engine.hpp`.
"""
