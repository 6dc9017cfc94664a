"""Sampling: from logits to the next token.

`params` has the parameters, `recommended` those that a model's files recommend, `steps/` one file per step
(temperature, top-k, ...), `step` their base class, and `draw` the seeded draw from the result. `repetition`
recognizes an output that repeats itself without end.
"""
