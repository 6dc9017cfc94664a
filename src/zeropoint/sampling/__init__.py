"""Sampling: from logits to the next token.

`params` has the parameters, `steps/` one file per step (temperature, top-k, ...), `step` their base class,
and `draw` the seeded draw from the result.
"""
