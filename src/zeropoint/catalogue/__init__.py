"""Which models and data sets exist, where they come from, and where their files are on this disk.

A name becomes a file in this order: `model_refs` (what the name means), `catalog` (the models with a short
name), `fetch` (cache or download), `source_chain` and `sources/` (where from), `download/` (bytes to disk).
"""
