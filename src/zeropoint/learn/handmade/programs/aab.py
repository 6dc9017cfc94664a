"""The article's program: continue aabaabaab... (Theia Vogel, "I made a transformer by hand", 2023).

After "aa" comes b; after "ab" or "ba" comes a: the next token depends on the current and the previous one.
One head attends to both and averages +1 for a and -1 for b, which gives 1 for "aa" and 0 for the others. The
bias predicts a unless the head overrides it. The first token attends only to itself, so a single a counts as
two.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, attend_back, token

__all__ = ["PROGRAM"]

N_CTX = 5


def expected(text: str) -> str:
    """b after aa, else a."""
    return "b" if text.endswith("aa") or text == "a" else "a"


PROGRAM = Program(
    name="aab",
    description="continue aabaabaab...",
    tokens="ab",
    n_ctx=N_CTX,
    scratch=("balance",),
    layers=(
        Layer(
            heads=(
                Head(
                    description="attends to the current and the previous position: are both a?",
                    attends=attend_back(N_CTX, 0, 1),
                    reads={token("a"): {"balance": 1.0}, token("b"): {"balance": -1.0}},
                    writes={"balance": {token("a"): -LARGE, token("b"): LARGE}},
                ),
            ),
            bias={token("a"): LARGE},
        ),
    ),
    expected=expected,
)
