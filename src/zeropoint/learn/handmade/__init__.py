"""Transformers whose weights are set by hand, after Theia Vogel, "I made a transformer by hand", 2023.

Read `dsl.py` (how to describe a model) and `programs/` (three models), then `compile.py` (description to
matrices), `evaluate.py`, `trace.py` (every matrix of a forward pass) and `gguf.py`.
"""
