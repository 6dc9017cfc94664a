"""The training loop: batches in, gradients down, weights changed. There is no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["train"]


def train(
    model: nn.Module,
    batches: Iterable[tuple[Any, ...]],
    objective: Callable[..., Tensor],
    optimizer: torch.optim.Optimizer,
    *,
    schedule: Callable[[int], float] | None = None,
    n_accumulated: int = 1,
    most_gradient: float | None = None,
    dtype: torch.dtype = torch.float32,
    on_step: Callable[[int, float], None] | None = None,
) -> int:
    """Train on every batch once and return the number of steps.

    objective(model, *batch) -> loss. schedule: step, from 1 -> learning rate. n_accumulated: batches whose
    gradients are averaged for one step; a last, smaller group makes a step too. most_gradient: longest
    gradient, as a norm; longer ones are shortened. dtype: of what is multiplied; weights stay float32.
    on_step(step, loss) is told of each.
    """
    model.train()
    device = next(model.parameters()).device.type
    step, losses = 0, []
    waiting = iter(batches)
    batch = next(waiting, None)
    while batch is not None:
        with torch.autocast(device, dtype, enabled=dtype is not torch.float32):
            loss = objective(model, *batch)
        (loss / n_accumulated).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
        batch = next(waiting, None)
        if len(losses) < n_accumulated and batch is not None:
            continue
        step += 1
        if schedule is not None:
            for group in optimizer.param_groups:
                group["lr"] = schedule(step)
        if most_gradient is not None:
            nn.utils.clip_grad_norm_(model.parameters(), most_gradient)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_step is not None:
            on_step(step, float(torch.stack(losses).mean()))
        losses = []
    return step
