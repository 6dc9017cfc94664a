"""Check a configuration before anything is computed, and report all problems at once.

Ranges come from the fields' own `option` declarations; this file holds only the rules that relate fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from zeropoint.errors import BadInput
from zeropoint.options import problems
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.duration import parse_duration

__all__ = ["check"]


def check(config: RunConfig, n_workers: int = 1) -> None:
    """Raise BadInput listing every setting that is out of range or contradicts another."""
    out_of_range = [
        problem
        for section in fields(config)
        for problem in problems(getattr(config, section.name), f"{section.name}.")
    ]
    if found := [*out_of_range, *_contradictions(config, n_workers)]:
        raise BadInput("; ".join(found))


def _contradictions(config: RunConfig, n_workers: int) -> Iterator[str]:
    yield from _batch_split(config, n_workers)
    if config.data.loss == "completion" and not config.objective.has_completion_loss:
        yield (
            "data.loss is completion, which only some objectives support (next_token does); set "
            "data.loss=all, or another objective.kind"
        )
    if config.train.sharding == "fsdp" and n_workers > 1 and config.optimizer.needs_full_matrices:
        yield (
            "train.sharding is fsdp, but this optimizer needs full weight matrices; set "
            "optimizer.kind=adamw or train.sharding=none"
        )
    model = config.model
    sizes = [
        name
        for name in ("n_layers", "n_heads", "n_kv_heads", "d_model", "d_ff", "n_ctx")
        if getattr(model, name)
    ]
    if model.blueprint and sizes:
        yield f"model.{sizes[0]} and model.blueprint are both set, but a blueprint has sizes; omit one"
    try:
        parse_duration(config.train.time_budget, "train.time_budget")
    except BadInput as error:
        yield str(error)


def _batch_split(config: RunConfig, n_workers: int) -> Iterator[str]:
    """Problems of dividing the batch among workers and micro-batches."""
    train = config.train
    if min(train.batch_size, train.accumulation_steps) < 1:
        return  # out of range, reported above
    is_sharded = train.sharding == "fsdp" and n_workers > 1
    # FSDP workers run each micro-batch together, so all must have equally many.
    divisor = train.accumulation_steps * (n_workers if is_sharded and train.accumulation_steps > 1 else 1)
    settings = (
        f"train.batch_size is {train.batch_size} and train.accumulation_steps is {train.accumulation_steps}"
    )
    settings += f" with {n_workers} workers" if n_workers > 1 else ""
    if train.batch_size % divisor:
        yield f"{settings}; micro-batches have equal sizes, so make train.batch_size a multiple of {divisor}"
    elif train.batch_size < train.accumulation_steps * n_workers:
        yield f"{settings}; every micro-batch needs an example, so use a larger batch or fewer workers"
