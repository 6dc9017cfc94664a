"""Shared by both sides of the training benchmark: the text, the validation loss and the cost of a step."""

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

__all__ = ["TrainOptions", "TrainSide", "characters", "flops_per_token", "full_validation_loss", "seconds"]


@dataclass(frozen=True)
class TrainOptions:
    """What a side trains on. text: a file read as character ids; its last tenth is held out for validation.

    n_steps: length of the schedule. is_compiled: whether the baseline uses `torch.compile`. recipe, sets:
    zeropoint only. clock: "wall", or "processor" for the processor time of the process and of the compilers
    it starts, which suits one thread on a shared machine.
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
        """Name, version, parameters, tokens per step, context length and floating-point operations per
        token."""
        ...

    def advance(self, n: int) -> float:
        """Take n more steps; returns their seconds, including compilation before the first."""
        ...

    def validate(self) -> float:
        """The validation loss in nats per token (`full_validation_loss`)."""
        ...


def characters(path: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16], int]:
    """(training ids, validation ids, number of distinct characters), split 9:1 as in nanoGPT."""
    text = Path(path).read_text("utf-8")
    known = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = np.array([known[character] for character in text], dtype=np.uint16)
    n = int(len(ids) * 0.9)
    return ids[:n], ids[n:], len(known)


def seconds(clock: str) -> float:
    """The wall clock, or processor time."""
    if clock == "wall":
        return time.perf_counter()
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@torch.no_grad()
def full_validation_loss(
    loss_function: Callable[[Tensor, Tensor], Tensor],
    validation_ids: NDArray[np.uint16],
    n_ctx: int,
    n_rows: int = 64,
) -> float:
    """The loss over the complete validation text, in consecutive windows of the model's context."""
    ids = torch.from_numpy(validation_ids.astype(np.int64))
    n_windows = (len(ids) - 1) // n_ctx
    inputs, targets = (ids[i : i + n_windows * n_ctx].view(n_windows, n_ctx) for i in (0, 1))
    total = sum(
        float(loss_function(a, b)) * len(a)
        for a, b in zip(inputs.split(n_rows), targets.split(n_rows), strict=True)
    )
    return total / n_windows


def flops_per_token(n_in_products: int, n_layers: int, d_attention: int, n_ctx: int) -> int:
    """Floating-point operations to train on one token, forward and backward (PaLM, 2022, appendix B).

    n_in_products: weights used in matrix products. Attention counts in full, although half is masked.
    """
    return 6 * n_in_products + 12 * n_layers * d_attention * n_ctx
