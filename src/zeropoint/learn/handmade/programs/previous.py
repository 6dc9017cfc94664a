"""Say again what was said before the last word: after "abca" comes c.

A head that looks one position back and passes on what it finds is the first half of an induction head
(Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021). At the first position nothing
comes before, so the head finds the token itself.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, look_back, token

__all__ = ["PROGRAM"]

TOKENS = "abc"
N_CTX = 6


def answer(text: str) -> str:
    """The token before the last one."""
    return text[-2:][0]


PROGRAM = Program(
    name="previous",
    about="repeat the token before the last one",
    tokens=TOKENS,
    n_ctx=N_CTX,
    layers=(
        Layer(
            heads=(
                Head(
                    about="looks at the previous position and passes its token on",
                    looks=look_back(N_CTX, 1),
                    reads={token(character): {token(character): 1.0} for character in TOKENS},
                    writes={token(character): {token(character): LARGE} for character in TOKENS},
                ),
            ),
        ),
    ),
    answer=answer,
)
