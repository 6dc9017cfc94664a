"""The sampling steps, one file each, found by file name (see `sampling/step.py`).

They run in this order: repetition, presence and frequency penalty, temperature, top-k, top-p, min-p.
"""
