"""The programs that benchmarks compare, one in each file; `worker.py` runs them.

A side is a module with `open_side(options) -> Side`. It imports its program inside that function, so that
each side can run under the Python interpreter that has its program installed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Side", "SideOptions", "random_prompt"]


@dataclass(frozen=True)
class SideOptions:
    """A GGUF file (or a folder converted from it), threads, and positions of a sequence.

    isa: instruction set of zeropoint, "" for the fastest; other programs ignore it. repacks: whether
    llama.cpp rearranges the weights at load.
    """

    model: str
    threads: int
    n_ctx: int
    isa: str = ""
    repacks: bool = True


class Side(Protocol):
    """One program with one model. Every method returns seconds and starts from an empty cache.

    prefill reads a prompt up to its first logits. decode reads a prompt and then measures n_new tokens after
    it, one at a time; a prompt from an earlier call may stay cached. decode_together decodes several
    sequences in one batch. A side omits the methods that it cannot support, and names those it has.
    """

    def about(self) -> dict[str, object]:
        """Name, version, instruction set, and the kinds of measurement that a side supports ("kinds") or, for
        zeropoint, the bytes read per token.
        """
        ...

    def prefill(self, prompt: Sequence[int]) -> float: ...

    def decode(self, prompt: Sequence[int], n_new: int) -> float: ...

    def decode_together(self, prompts: Sequence[Sequence[int]], n_new: int) -> float: ...


def random_prompt(seed: int, n: int, n_vocab: int) -> list[int]:
    """Random token ids, avoiding both ends of the vocabulary, where special tokens are."""
    rng = random.Random(seed)
    return [rng.randrange(100, n_vocab - 100) for _ in range(n)]
