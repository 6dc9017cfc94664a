"""Who takes part in a bench: one program a file, each told by `worker.py` what to do.

A side is a module with `open_side(options) -> Side`. It imports its program inside that function, so that
every side can be served by whichever Python has its program.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Options", "Side", "random_prompt"]


@dataclass(frozen=True)
class Options:
    """What a side opens: a GGUF file (or the folder made of it), threads, and positions for a sequence.

    isa: our instruction set, "" for the fastest; others ignore it.
    """

    model: str
    threads: int
    n_ctx: int
    isa: str = ""


class Side(Protocol):
    """One program with one model. Every method gives seconds, and starts from an empty cache.

    prefill reads a prompt up to its first logits. decode reads a prompt and then takes the time of n_new
    tokens after it, one at a time; a prompt read before may be kept. decode_together does so for several
    sequences in step. A method that a side does not have is a comparison that is not made.
    """

    def about(self) -> dict[str, object]:
        """Name, version, what it was built for, and (ours) the bytes that a token reads."""
        ...

    def prefill(self, prompt: Sequence[int]) -> float: ...

    def decode(self, prompt: Sequence[int], n_new: int) -> float: ...

    def decode_together(self, prompts: Sequence[Sequence[int]], n_new: int) -> float: ...


def random_prompt(seed: int, n: int, n_vocab: int) -> list[int]:
    """Token ids of a prompt, without the first and last of the vocabulary, where control tokens are."""
    rng = random.Random(seed)
    return [rng.randrange(100, n_vocab - 100) for _ in range(n)]
