"""The parts of a block: one file per kind of part, one small frozen class per variant.

Read `norm`, `ffn`, `position`, then `attention`. Each variant cites the paper that introduced it.
"""
