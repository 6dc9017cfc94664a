"""Close what was opened: after "(()" comes ")", and once all is closed comes ".".

A head that looks at everything alike takes an average. With +1 for an open bracket and -1 for a closed one,
that average is depth / length: positive while something is open, zero when all is closed, negative when
more was closed than opened (then "(" is what is missing). No position is needed to count.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, token

__all__ = ["PROGRAM"]

N_CTX = 16
# The smallest average that is not zero is 1 / N_CTX, of which the full stop asks half.
HALF_A_BRACKET = LARGE / (2 * N_CTX)


def answer(text: str) -> str:
    """The bracket that is missing, or "." if none is."""
    depth = text.count("(") - text.count(")")
    return ")" if depth > 0 else "(" if depth < 0 else "."


PROGRAM = Program(
    name="brackets",
    about="close the brackets that are open, then stop",
    tokens="().",
    n_ctx=N_CTX,
    scratch=("depth",),
    has_positions=False,
    layers=(
        Layer(
            heads=(
                Head(
                    about="looks at all tokens so far: which share of them is still open?",
                    reads={token("("): {"depth": 1.0}, token(")"): {"depth": -1.0}},
                    writes={"depth": {token("("): -LARGE, token(")"): LARGE}},
                ),
            ),
            always={token("."): HALF_A_BRACKET},
        ),
    ),
    answer=answer,
    stop=".",
)
