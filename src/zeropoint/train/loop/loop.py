"""The training loop: batches in, gradients down, weights changed. There is no other."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint.data.batches import Batches
from zeropoint.train.distributed.process_group import SINGLE_PROCESS, Loss, ProcessGroup, rows_of
from zeropoint.train.loop.determinism import repeatable
from zeropoint.train.loop.gradients import NotFinite, clip_gradients, first_bad

__all__ = ["CountsTargets", "Objective", "StepResult", "evaluate_loss", "train"]

Objective = Callable[..., Tensor]


@runtime_checkable
class CountsTargets(Protocol):
    """An objective whose loss is a mean over something else than rows: how many, so that means are joined."""

    def n_targets(self, *batch: Any) -> int: ...


@dataclass(frozen=True)
class StepResult:
    """One step, counted from 1. n_tokens: ids of its whole batch, over all workers."""

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    n_tokens: int


def train(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
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
    """Take the steps first_step + 1 to n_steps, and return the number of the last one taken.

    objective(model, *batch) -> loss, a mean. schedule: step, from 1 -> share of the optimizer's own rates.
    accumulation_steps: parts in which a batch is computed, for less memory; the step is the same up to
    rounding. max_grad_norm: largest gradient norm. dtype: of what is multiplied; weights stay float32.
    seed: of what is drawn while a model learns (dropout), with the step's number: a run that is resumed
    draws the same, and repeats to the last bit. before_update(step, loss): gradients are there.
    after_step(done): true ends the run.
    Raises NotFinite, before the weights are touched.
    """
    device = next(model.parameters()).device
    devices = [device] if device.type == "cuda" else []
    for param_group in optimizer.param_groups:
        param_group.setdefault("initial_lr", param_group["lr"])
    wrapped_loss = group.wrap_loss(model, objective)
    step = first_step
    with torch.random.fork_rng(devices=devices), repeatable():
        for step in range(first_step + 1, n_steps + 1):
            share = 1.0 if schedule is None else schedule(step)
            for param_group in optimizer.param_groups:
                param_group["lr"] = param_group["initial_lr"] * share
            model.train()
            _seed_draws(device, seed, step, group.rank)
            parts = _parts(batches, step - 1, accumulation_steps, group, device)
            loss, n_tokens = _backward(wrapped_loss, parts, objective, dtype, group)
            norm = clip_gradients(model.parameters(), max_grad_norm)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                what = "the loss" if not math.isfinite(loss) else "the gradient's norm"
                where = first_bad(model, lambda parts=parts: [objective(model, *part) for part in parts])  # type: ignore[misc]
                raise NotFinite(
                    f"step {step}: {what} is not a number; the first bad tensor is {where}; lower the "
                    "learning rate, or clip gradients"
                )
            if before_update is not None:
                before_update(step, loss)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            rate = optimizer.param_groups[0]["lr"]
            if after_step is not None and after_step(StepResult(step, loss, rate, norm, n_tokens)):
                break
    return step


def _parts(
    batches: Batches, step: int, n_parts: int, group: ProcessGroup, device: torch.device
) -> list[tuple[Tensor, ...]]:
    """This worker's rows of the batch, in parts, on the device."""
    arrays = batches.batch(step, rows_of(batches.n_rows, group))
    columns = [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]
    n_rows = len(columns[0])
    size = -(-n_rows // n_parts)
    return [tuple(c[i : i + size] for c in columns) for i in range(0, n_rows, size)]


def _backward(
    wrapped_loss: Loss,
    parts: Sequence[tuple[Tensor, ...]],
    objective: Objective,
    dtype: torch.dtype,
    group: ProcessGroup,
) -> tuple[float, int]:
    """Gradients of the mean loss of all parts of all workers, each weighed by what its own mean is over.

    Returns that loss, and how many ids it was computed from.

    Workers' gradients are averaged, so that what is to be summed is first taken n_workers times.
    """
    weights = [_weight(objective, part) for part in parts]
    device = parts[0][0].device
    n_all, n_tokens = _over(group, device, sum(weights), sum(part[0].numel() for part in parts))
    total = torch.zeros((), device=device)
    for i, (part, weight) in enumerate(zip(parts, weights, strict=True)):
        is_last = i == len(parts) - 1
        with contextlib.nullcontext() if is_last else group.no_sync(wrapped_loss):
            with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                loss = wrapped_loss(*part)
            share = weight / max(1, n_all)
            if share * group.n_workers != 1:
                loss = loss * (share * group.n_workers)
            loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach() / group.n_workers
    return float(group.sum(total)), n_tokens


@torch.no_grad()
def evaluate_loss(
    model: nn.Module,
    batches: Batches,
    objective: Objective,
    n_batches: int,
    dtype: torch.dtype = torch.float32,
    group: ProcessGroup = SINGLE_PROCESS,
) -> float:
    """The mean loss over all that the first n_batches ask for, in nats, nothing dropped out.

    Each batch weighs by its targets, whoever computes them; the model stays as it was.
    """
    device = next(model.parameters()).device
    is_training = model.training
    model.eval()
    total, n_total = 0.0, 0
    for step in range(n_batches):
        (part,) = _parts(batches, step, 1, group, device)
        weight = _weight(objective, part)
        with torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
            loss = objective(model, *part).float()
        (n_all,) = _over(group, device, weight)
        share = weight / max(1, n_all)
        total += n_all * float(group.sum(loss * share if share != 1 else loss))
        n_total += n_all
    model.train(is_training)
    return total / max(1, n_total)


def _weight(objective: Objective, part: tuple[Tensor, ...]) -> int:
    """How much its mean loss counts among those of others."""
    return objective.n_targets(*part) if isinstance(objective, CountsTargets) else len(part[0])


def _over(group: ProcessGroup, device: torch.device, *numbers: int) -> list[int]:
    """The sums of some numbers over the team."""
    if group.n_workers == 1:
        return list(numbers)
    summed: list[int] = group.sum(torch.tensor(numbers, device=device)).tolist()
    return summed


def _seed_draws(device: torch.device, *numbers: int) -> None:
    """Begin anew, by these numbers, what is drawn on the device.

    `torch.manual_seed` would also note the wish, with a stack trace, for every GPU that is not there.
    """
    seed = int(np.random.SeedSequence([n % 2**32 for n in numbers]).generate_state(1, np.uint64)[0])
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
