"""Repeat the token before the last one: after "abca" comes c.

A head that attends to the previous position and copies its token is the first half of an induction head
(Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021). The first position has no previous
one, so the head copies the token itself.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, attend_back, token

__all__ = ["PROGRAM"]

TOKENS = "abc"
N_CTX = 6


def expected(text: str) -> str:
    """The token before the last one."""
    return text[-2:][0]


PROGRAM = Program(
    name="previous",
    description="repeat the token before the last one",
    tokens=TOKENS,
    n_ctx=N_CTX,
    layers=(
        Layer(
            heads=(
                Head(
                    description="attends to the previous position and copies its token",
                    attends=attend_back(N_CTX, 1),
                    reads={token(character): {token(character): 1.0} for character in TOKENS},
                    writes={token(character): {token(character): LARGE} for character in TOKENS},
                ),
            ),
        ),
    ),
    expected=expected,
)
