"""Checkpoints: save, load, resume and prune.

Read `checkpoint` first; `sharded` writes one from several workers, `tensor_io` reads and writes the tensor
files.
"""
