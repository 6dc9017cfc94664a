"""What the two sides of the training bench share: a text, how loss is judged, and what a step costs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["TrainOptions", "TrainSide", "characters", "flops_a_token", "seconds", "whole_loss"]


@dataclass(frozen=True)
class TrainOptions:
    """What a side trains. text: a file, whose last tenth is held out, both as ids of its characters.

    n_steps: length of the schedule. is_compiled: the baseline's `torch.compile`. recipe, sets: ours alone.
    clock: "wall"; or "processor", what the process and the compilers it started computed for, all threads
    together: for one thread on a machine that others use too.
    """

    text: str
    threads: int
    n_steps: int
    is_compiled: bool = False
    clock: str = "wall"
    recipe: str = ""
    sets: tuple[str, ...] = ()


class TrainSide(Protocol):
    """One program with one model, before its first step."""

    def about(self) -> dict[str, object]:
        """Name, version, parameters, tokens of a step, context and operations (of products) a token."""
        ...

    def advance(self, n: int) -> float:
        """Take n steps more; the seconds they took, with whatever has to be made ready for the first."""
        ...

    def validate(self) -> float:
        """The loss on what is held out, in nats a token (`whole_loss`)."""
        ...


def characters(path: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    """Ids of the first nine tenths, ids of the last, and how many characters there are. As nanoGPT has it."""
    text = Path(path).read_text("utf-8")
    known = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = np.array([known[character] for character in text], dtype=np.uint16)
    n = int(len(ids) * 0.9)
    return ids[:n], ids[n:], len(known)


def seconds(clock: str) -> float:
    """Of the wall, or of the processors."""
    if clock == "wall":
        return time.perf_counter()
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@torch.no_grad()
def whole_loss(
    loss_of: Callable[[Tensor, Tensor], Tensor], held: NDArray[np.uint16], n_ctx: int, n_rows: int = 64
) -> float:
    """The loss over all that is held out, cut into windows of the model's context that follow each other."""
    ids = torch.from_numpy(held.astype(np.int64))
    n_windows = (len(ids) - 1) // n_ctx
    given, asked = (ids[i : i + n_windows * n_ctx].view(n_windows, n_ctx) for i in (0, 1))
    total = sum(
        float(loss_of(a, b)) * len(a) for a, b in zip(given.split(n_rows), asked.split(n_rows), strict=True)
    )
    return total / n_windows


def flops_a_token(n_in_products: int, n_layers: int, d_attention: int, n_ctx: int) -> int:
    """Operations of products to train on a token: forward and twice that back (PaLM, 2022, appendix B).

    n_in_products: weights that multiply. Scores and mixtures count in full, although half are masked.
    """
    return 6 * n_in_products + 12 * n_layers * d_attention * n_ctx
