"""Transformers whose weights are set by hand: a language for them, and programs written in it.

After Theia Vogel, "I made a transformer by hand (no training!)", 2023. `language.py` is what one writes,
`programs/` what was written; `assemble.py` makes a blueprint and weights of it, `judge.py` counts right
answers.
"""
