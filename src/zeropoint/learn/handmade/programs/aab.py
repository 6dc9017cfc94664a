"""The article's program: continue aabaabaab... (Theia Vogel, "I made a transformer by hand", 2023).

After "aa" comes b, after "ab" or "ba" comes a: the next token follows from this token and the previous
one. One head looks at these two, counts an a as +1 and a b as -1, and so takes 1 from "aa" and 0 from the
others. The answer is a unless the head says otherwise. The first token looks at itself alone, so that a
lone a passes for two.
"""

from __future__ import annotations

from zeropoint.learn.handmade.dsl import LARGE, Head, Layer, Program, look_back, token

__all__ = ["PROGRAM"]

N_CTX = 5


def answer(text: str) -> str:
    """b after aa, else a."""
    return "b" if text.endswith("aa") or text == "a" else "a"


PROGRAM = Program(
    name="aab",
    about="continue aabaabaab...",
    tokens="ab",
    n_ctx=N_CTX,
    scratch=("balance",),
    layers=(
        Layer(
            heads=(
                Head(
                    about="looks at this position and the previous one; are both of them a?",
                    looks=look_back(N_CTX, 0, 1),
                    reads={token("a"): {"balance": 1.0}, token("b"): {"balance": -1.0}},
                    writes={"balance": {token("a"): -LARGE, token("b"): LARGE}},
                ),
            ),
            always={token("a"): LARGE},
        ),
    ),
    answer=answer,
)
