"""Measurements of a model or an engine; nothing here trains.

Read `perplexity.py`, then `quality.py` (number formats side by side), `speed.py` (prefill and decode rates
against the memory bandwidth) and `translation.py` (BLEU).
"""
