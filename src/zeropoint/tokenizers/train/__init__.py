"""Tokenizers trained on text, each algorithm in readable Python.

Reading order: `char`, `words`, `bpe`, then `unigram` with its Viterbi and forward-backward in `lattice`.
"""
