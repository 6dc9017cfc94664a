"""Published numbers, recomputed: `zeropoint verify`.

Read `claim.py` (a number, its source and tolerance), then `verify.py`, which computes every claim in
`published/`, one per file. Adding a file there adds a claim.
"""
