"""The training loop: load a batch, compute gradients, clip them, update the weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint.data.batches import Batches
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, Loss, ProcessGroup, local_rows
from zeropoint.train.loop.determinism import deterministic
from zeropoint.train.loop.gradient_clipping import clip_gradients
from zeropoint.train.loop.gradients import NotFinite, first_nonfinite

__all__ = ["CountsTargets", "LossFunction", "StepResult", "evaluate_loss", "train"]

LossFunction = Callable[..., Tensor]
"""(model, *batch) -> the mean loss. An `Objective`, or any function."""


@runtime_checkable
class CountsTargets(Protocol):
    """A loss that is a mean over targets, not rows; `n_targets` weights the means of several batches."""

    def n_targets(self, *batch: Any) -> int: ...


@dataclass(frozen=True)
class StepResult:
    """One step, counted from 1. n_tokens: ids in the batch, over all workers."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    n_tokens: int


def train(
    model: nn.Module,
    batches: Batches,
    objective: LossFunction,
    optimizer: torch.optim.Optimizer,
    *,
    n_steps: int,
    first_step: int = 0,
    schedule: Callable[[int], float] | None = None,
    accumulation_steps: int = 1,
    max_grad_norm: float | None = None,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    group: ProcessGroup = SINGLE_PROCESS,
    before_update: Callable[[int, float], None] | None = None,
    after_step: Callable[[StepResult], bool | None] | None = None,
) -> int:
    """Take steps first_step + 1 to n_steps. Returns the number of the last step taken.

    schedule: step, from 1 -> multiplier of the optimizer's learning rates.
    accumulation_steps: micro-batches per step (gradient accumulation); the step is equal up to rounding.
    max_grad_norm: gradient clipping, by global norm. dtype: autocast type; weights stay float32.
    seed: together with the step's number it seeds dropout, so that a resumed run draws the same masks.
    before_update(step, loss): called when the gradients are complete. after_step(result): True ends the run.
    Raises NotFinite for a NaN or infinite loss or gradient, before the weights change.
    """
    device = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    for param_group in optimizer.param_groups:
        param_group.setdefault("initial_lr", param_group["lr"])
    wrapped_loss = group.wrap_loss(model, objective)
    step = first_step
    with torch.random.fork_rng(devices=devices), deterministic():
        for step in range(first_step + 1, n_steps + 1):
            multiplier = 1.0 if schedule is None else schedule(step)
            for param_group in optimizer.param_groups:
                param_group["lr"] = param_group["initial_lr"] * multiplier
            model.train()
            _seed_dropout(device, seed, step, group.rank)
            micro_batches = _micro_batches(batches, step - 1, accumulation_steps, group, device)
            loss, n_tokens = _backward(wrapped_loss, micro_batches, objective, dtype, group)
            norm = clip_gradients(model.parameters(), max_grad_norm)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = "the loss" if not math.isfinite(loss) else "the gradient norm"
                source = first_nonfinite(model, partial(_losses, objective, model, micro_batches))
                raise NotFinite(
                    f"step {step}: {what} is NaN or infinite, first in {source}; lower the learning rate, "
                    "or set train.max_grad_norm"
                )
            if before_update is not None:
                before_update(step, loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            rate = optimizer.param_groups[0]["lr"]
            if after_step is not None and after_step(StepResult(step, loss, rate, norm, n_tokens)):
                break
    return step


def _losses(objective: LossFunction, model: nn.Module, batches: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    return [objective(model, *batch) for batch in batches]


def _micro_batches(
    batches: Batches, step: int, n_parts: int, group: ProcessGroup, device: torch.device
) -> list[tuple[Tensor, ...]]:
    """This worker's rows of the batch, in up to n_parts micro-batches, on the device."""
    arrays = batches.batch(step, local_rows(batches.n_rows, group))
    columns = [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]
    n_rows = len(columns[0])
    size = -(-n_rows // n_parts)
    return [tuple(c[i : i + size] for c in columns) for i in range(0, n_rows, size)]


def _backward(
    wrapped_loss: Loss,
    micro_batches: Sequence[tuple[Tensor, ...]],
    objective: LossFunction,
    dtype: torch.dtype,
    group: ProcessGroup,
) -> tuple[float, int]:
    """Accumulate the gradients of the mean loss over all targets of all micro-batches and workers.

    Returns that loss, and the number of ids in the batch.
    DDP averages gradients over workers; scale the loss by n_workers to obtain their sum.
    """
    weights = [_n_targets(objective, batch) for batch in micro_batches]
    device = micro_batches[0][0].device
    n_all, n_tokens = _sum(group, device, sum(weights), sum(batch[0].numel() for batch in micro_batches))
    total = torch.zeros((), device=device)
    for i, (batch, weight) in enumerate(zip(micro_batches, weights, strict=True)):
        is_last = i == len(micro_batches) - 1
        with contextlib.nullcontext() if is_last else group.no_sync(wrapped_loss):
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                loss = wrapped_loss(*batch)
            scale = weight / max(1, n_all) * group.n_workers
            if scale != 1:
                loss = loss * scale
            loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / group.n_workers
    return float(group.sum(total)), n_tokens


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    batches: Batches,
    objective: LossFunction,
    n_batches: int,
    dtype: torch.dtype = torch.float32,
    group: ProcessGroup = SINGLE_PROCESS,
) -> float:
    """The mean loss over all targets of the first n_batches, in nats, in evaluation mode (no dropout).

    Restores the model's mode.
    """
    device = next(model.parameters()).device
    is_training = model.training
    model.eval()
    total, n_total = 0.0, 0
    for step in range(n_batches):
        (batch,) = _micro_batches(batches, step, 1, group, device)
        weight = _n_targets(objective, batch)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            loss = objective(model, *batch).float()
        (n_all,) = _sum(group, device, weight)
        share = weight / max(1, n_all)
        total += n_all * float(group.sum(loss * share if share != 1 else loss))
        n_total += n_all
    model.train(is_training)
    return total / max(1, n_total)


def _n_targets(objective: LossFunction, batch: tuple[Tensor, ...]) -> int:
    """The weight of a batch's mean loss among those of other batches."""
    return objective.n_targets(*batch) if isinstance(objective, CountsTargets) else len(batch[0])


def _sum(group: ProcessGroup, device: torch.device, *numbers: int) -> list[int]:
    """The sum of each number over the workers."""
    if group.n_workers == 1:
        return list(numbers)
    sums: list[int] = group.sum(torch.tensor(numbers, device=device)).tolist()
    return sums


def _seed_dropout(device: torch.device, *numbers: int) -> None:
    """Seed the device's random generator from these numbers.

    Not with `torch.manual_seed`: it records a stack trace for every GPU that is not initialized, which is
    slow.
    """
    seed = int(np.random.SeedSequence([n % 2**32 for n in numbers]).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
