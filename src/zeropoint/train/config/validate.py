"""What cannot be trained is refused before anything is computed: every number out of range, all at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from zeropoint.errors import BadInput
from zeropoint.train.config.config import RunConfig
from zeropoint.train.config.duration import seconds_of
from zeropoint.train.objectives.next_token import NextToken
from zeropoint.train.optim.muon import Muon

__all__ = ["check"]

_MOST = 2**31 - 1
_MOST_THREADS = 1024  # OpenMP ends the process where it cannot make as many as it was told
# Whole numbers: the least that makes sense.
_LEAST = {
    "model.n_layers": 0, "model.n_heads": 0, "model.n_kv_heads": 0, "model.d_model": 0, "model.d_ff": 0,
    "model.n_ctx": 0, "data.n_vocab": 2, "data.n_ctx": 0, "train.steps": 1, "train.batch_size": 1,
    "train.accumulation_steps": 1, "train.seed": 0, "train.threads": 0, "train.checkpoint_every": 0,
    "train.keep": 2, "train.patience": 0, "eval.every": 0, "eval.n_batches": 1, "sample.every": 0,
    "sample.n_examples": 1, "sample.n_tokens": 1, "sample.top_k": 0, "schedule.warmup_steps": 0,
    "schedule.decay_steps": 0, "schedule.cooldown_steps": 0, "schedule.d_model": 0, "schedule.n_warmup": 1,
    "objective.padding": -1,
}  # fmt: skip
# Numbers: (least, most, whether the least itself is refused, whether the most is).
_RANGES = {
    "model.dropout": (0, 1, False, True), "model.attention_dropout": (0, 1, False, True),
    "data.validation": (0, 1, True, True),
    "train.max_grad_norm": (0, math.inf, False, True), "train.ema": (0, 1, False, True),
    "train.near_zero": (0, 1, False, True), "sample.temperature": (0, 2, False, False),
    "optimizer.learning_rate": (0, math.inf, True, True), "optimizer.adamw_lr": (0, math.inf, True, True),
    "optimizer.eps": (0, math.inf, True, True), "optimizer.weight_decay": (0, math.inf, False, True),
    "optimizer.adamw_weight_decay": (0, math.inf, False, True), "optimizer.momentum": (0, 1, False, True),
    "schedule.final": (0, 1, False, False), "schedule.factor": (0, math.inf, True, True),
    "objective.mask_prob": (0, 1, True, True), "objective.smoothing": (0, 1, False, True),
}  # fmt: skip


def check(config: RunConfig, n_workers: int = 1) -> None:
    """Raise BadInput listing what is out of range, or return."""
    found = list(_problems(config, n_workers))
    if found:
        raise BadInput("; ".join(found))


def _problems(config: RunConfig, n_workers: int) -> Iterator[str]:
    for section in fields(config):
        part = getattr(config, section.name)
        for field in fields(part):
            yield from _range(f"{section.name}.{field.name}", getattr(part, field.name))
    for i, beta in enumerate(config.optimizer.betas):
        if not 0 <= beta < 1:
            yield f"optimizer.betas[{i}] is {beta}; expected 0 to below 1"
    train, model = config.train, config.model
    if config.data.loss == "completion" and not isinstance(config.objective, NextToken):
        yield (
            "data.loss is completion and the objective is not next_token; masked and sequence-to-sequence "
            "objectives choose their own targets, so set data.loss=all"
        )
    yield from _shares(config, n_workers)
    sizes = [
        name
        for name in ("n_layers", "n_heads", "n_kv_heads", "d_model", "d_ff", "n_ctx")
        if getattr(model, name)
    ]
    if model.blueprint and sizes:
        yield f"model.{sizes[0]} is set beside model.blueprint, which says it too; leave one of them out"
    try:
        seconds_of(train.time_budget, "train.time_budget")
    except BadInput as error:
        yield str(error)


def _shares(config: RunConfig, n_workers: int) -> Iterator[str]:
    """What a batch and the weights cannot be cut into."""
    train = config.train
    if min(train.batch_size, train.accumulation_steps) < 1:
        return  # said already
    is_cut = train.sharding == "fsdp" and n_workers > 1
    n_parts = train.accumulation_steps * (n_workers if is_cut and train.accumulation_steps > 1 else 1)
    among = f" for {n_workers} workers" if n_workers > 1 else ""
    if train.batch_size % n_parts:
        yield (
            f"train.batch_size is {train.batch_size} and train.accumulation_steps "
            f"{train.accumulation_steps}{among}; the "
            "batch is cut into equal parts, so make it a multiple"
        )
    elif train.batch_size < train.accumulation_steps * n_workers:
        yield (
            f"train.batch_size is {train.batch_size} and train.accumulation_steps "
            f"{train.accumulation_steps}{among}; each "
            "part needs a row, so give a bigger batch or fewer workers"
        )
    if is_cut and isinstance(config.optimizer, Muon):
        yield (
            "train.sharding is fsdp and the optimizer Muon, which needs whole matrices; choose adamw, or "
            "train.sharding=none"
        )


def _range(name: str, value: object) -> Iterator[str]:
    limit = _MOST_THREADS if name == "train.threads" else _MOST
    if name in _LEAST and isinstance(value, int) and not _LEAST[name] <= value <= limit:
        yield f"{name} is {value}; expected a whole number from {_LEAST[name]} to {limit}"
    if name in _RANGES and isinstance(value, float):
        least, most, above, below = _RANGES[name]
        is_low = value <= least if above else value < least
        is_high = value >= most if below else value > most
        if is_low or is_high or math.isnan(value):
            start = f"above {least}" if above else f"from {least}"
            end = "" if most == math.inf else f" to {'below ' if below else ''}{most}"
            yield f"{name} is {value}; expected a number {start}{end}"
