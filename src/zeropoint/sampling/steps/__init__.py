"""The sampling steps, one file each, found by file name (see `sampling/step.py`).

They run in this order: logit bias; repetition, presence and frequency penalty, DRY; temperature; top-n-sigma,
top-k, typical-p, top-p, min-p, XTC; Mirostat.
"""
