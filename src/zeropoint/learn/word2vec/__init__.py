"""Word vectors: CBOW, skip-gram with negative sampling, and GloVe.

Read `model.py` (the three losses and lookups by similarity), then `train.py` (windows, counts, training).
"""
