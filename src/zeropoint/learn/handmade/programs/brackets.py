"""Close open brackets: after "(()" comes ")", and once every bracket is closed comes ".".

A head that attends to all tokens equally computes an average. With +1 for an opening and -1 for a closing
bracket, that average is depth / length: positive while a bracket is open, zero when all are closed, negative
if too many are closed (then "(" is missing). Counting needs no positions.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, token

__all__ = ["PROGRAM"]

N_CTX = 16
# The smallest non-zero average is 1 / N_CTX; the score of "." is half of that.
HALF_A_BRACKET = LARGE / (2 * N_CTX)


def expected(text: str) -> str:
    """The missing bracket, or "." if none is missing."""
    depth = text.count("(") - text.count(")")
    return ")" if depth > 0 else "(" if depth < 0 else "."


PROGRAM = Program(
    name="brackets",
    description="close the brackets that are open, then stop",
    tokens="().",
    n_ctx=N_CTX,
    scratch=("depth",),
    has_positions=False,
    layers=(
        Layer(
            heads=(
                Head(
                    description="attends to all tokens so far: what fraction is still open?",
                    reads={token("("): {"depth": 1.0}, token(")"): {"depth": -1.0}},
                    writes={"depth": {token("("): -LARGE, token(")"): LARGE}},
                ),
            ),
            bias={token("."): HALF_A_BRACKET},
        ),
    ),
    expected=expected,
    stop=".",
)
