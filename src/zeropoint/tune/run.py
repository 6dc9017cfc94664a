"""Tune a model on examples: what `zeropoint tune` does, from the files to an adapter in a run's folder.

The folder holds `adapter/` (in peft's layout), `metrics.jsonl` (a line per step) and `tune.json` (what was
asked for and what came out).
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.blueprint.tensors import parameters
from zeropoint.data.batches import Shuffled
from zeropoint.engine.machine import available_memory_bytes
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.files.atomic_write import append_lines, replace_file
from zeropoint.files.disk_errors import as_disk_error
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.registry import name_of
from zeropoint.train.loop.early_stopping import Diverged, DivergenceDetector
from zeropoint.train.loop.loop import StepResult, evaluate_loss, train
from zeropoint.train.run.memory import translate_oom
from zeropoint.train.run.signals import graceful_shutdown
from zeropoint.train.schedules.cosine import Cosine
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.batches import answer_columns, mismatched, packed_columns, pair_columns
from zeropoint.tune.estimate import Estimate, memory_bytes, seconds_per_part
from zeropoint.tune.examples import Example, read_examples
from zeropoint.tune.logprobs import pair_logprobs
from zeropoint.tune.objectives import TuningObjective
from zeropoint.tune.objectives.sft import SupervisedFineTuning
from zeropoint.tune.peft_layout import save_adapter
from zeropoint.tune.tokens import Encoded, Encoder, encode_examples
from zeropoint.weights.mapping import Weights
from zeropoint.weights.open_model import OpenedModel, open_model

__all__ = ["TuneConfig", "TuneReport", "TuneResult", "tune"]

_MIN_TO_HOLD_OUT = 20  # examples; with fewer, all are learned
_HELD_OUT_SHARE = 0.05
_MAX_HELD_OUT = 64
Columns = tuple[NDArray[Any], ...]


@dataclass(frozen=True)
class TuneConfig:
    """How to tune. The defaults are LoRA's usual ones on instruction data."""

    objective: TuningObjective = field(default_factory=SupervisedFineTuning)
    adapter: Adapter = field(default_factory=Lora)
    learning_rate: float = option(2e-4, 0, None, "Peak learning rate.", is_open=True)
    n_epochs: int = option(3, 1, 10_000, "Passes over the examples.")
    n_steps: int = option(0, 0, 2**31 - 1, "Steps; 0: as many as the epochs have.")
    n_rows: int = option(8, 1, 65536, "Rows of a batch.")
    n_ctx: int = option(512, 8, 2**20, "Tokens of a row; longer examples are left out.")
    warmup_steps: int = option(10, 0, 2**31 - 1, "Steps of linear warm-up.")
    max_grad_norm: float = option(1.0, 0, None, "Gradient clipping, by global norm.", is_open=True)
    seed: int = option(0, 0, 2**31 - 1, "Of the adapter's weights, the order of rows, and dropout.")
    template: str | None = None


class TuneReport:
    """Override the events of interest."""

    def on_notice(self, text: str) -> None:
        """A sentence that the user should see."""

    def on_estimate(self, estimate: Estimate) -> None:
        """Before the first step."""

    def on_step(self, result: StepResult, n_steps: int, seconds: float) -> None:
        """After every step. seconds: since the first began."""


@dataclass(frozen=True, eq=False)
class TuneResult:
    """What came out. Losses on held-out examples before and after; None if none were held out.

    model, opened: the tuned module and the file it came from, to export it.
    """

    adapter_folder: Path
    step: int
    train_loss: float
    loss_before: float | None
    loss_after: float | None
    seconds: float
    peak_bytes: int
    estimate: Estimate
    was_stopped: bool
    model: Decoder
    opened: OpenedModel

    def as_json(self) -> dict[str, Any]:
        """The result as `zeropoint tune --json` prints it."""
        return {
            "adapter": str(self.adapter_folder),
            "steps": self.step,
            "train_loss": self.train_loss,
            "held_out_loss_before": self.loss_before,
            "held_out_loss_after": self.loss_after,
            "seconds": self.seconds,
            "estimated_seconds": self.estimate.seconds,
            "peak_memory_bytes": self.peak_bytes,
            "estimated_memory_bytes": self.estimate.memory_bytes,
            "trained_parameters": self.estimate.n_trained,
            "parameters": self.estimate.n_weights,
            "was_stopped": self.was_stopped,
        }


def tune(
    model_path: Path, data: Path, folder: Path, config: TuneConfig, report: TuneReport | None = None
) -> TuneResult:
    """Tune the model at `model_path` on the examples in `data`; write the run to `folder`.

    SIGINT and SIGTERM end the run after the current step; the adapter is written as far as it is trained.
    Raises BadInput naming a line of the data or an option, OutOfMemory before the first step, NotFinite and
    Diverged (nothing is written then), DiskError.
    """
    report = report or TuneReport()
    _check_folder(folder)
    examples = read_examples(data, config.objective.data)
    opened = open_model(model_path)
    if not opened.blueprint.is_decoder:
        raise BadInput("only decoders can be tuned, which predict the next token; choose another model")
    with Encoder(opened, config.template) as encoder:
        n_ctx = min(config.n_ctx, opened.blueprint.n_ctx)
        examples, texts = encode_examples(encoder, examples, n_ctx, report.on_notice)
    with translate_oom(lambda: "the model", "close other programs, or choose a smaller model"):
        model = _open_module(opened)
    learned, held_out = _split(len(texts), config.seed)
    train_columns = _columns(config, model, examples, texts, learned, n_ctx)
    eval_columns = _columns(config, model, examples, texts, held_out, n_ctx) if held_out else None
    config.adapter.attach(model, config.seed)
    batches = Shuffled(train_columns, min(config.n_rows, len(train_columns[0])), config.seed)
    estimate = _estimate(config, model, batches, opened)
    report.on_estimate(estimate)
    _check_memory(estimate)
    held = Shuffled(eval_columns, 1, 0) if eval_columns else None
    before = _held_out_loss(config, model, held)
    with as_disk_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
    started_s = time.monotonic()
    step, loss, was_stopped = _train(config, model, batches, estimate.n_steps, folder, report)
    seconds = time.monotonic() - started_s
    model.eval()
    after = _held_out_loss(config, model, held)
    save_adapter(model, config.adapter, folder / "adapter", base=str(model_path))
    peak = _peak_bytes()
    result = TuneResult(
        folder / "adapter", step, loss, before, after, seconds, peak, estimate, was_stopped, model, opened
    )
    record = {"model": str(model_path), "data": str(data), **_plain(config), "result": result.as_json()}
    replace_file(folder / "tune.json", json.dumps(record, indent=2).encode())
    return result


def _train(
    config: TuneConfig, model: Decoder, batches: Shuffled, n_steps: int, folder: Path, report: TuneReport
) -> tuple[int, float, bool]:
    """Take the steps. Returns the last one's number, its loss, and whether a signal ended the run."""
    groups = config.adapter.parameter_groups(model, config.learning_rate)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, weight_decay=0.0)
    schedule = Cosine(min(config.warmup_steps, n_steps - 1), 0.0).for_run(n_steps, 0)
    detector, started_s, last_loss = DivergenceDetector(None), time.monotonic(), float("nan")
    with graceful_shutdown() as stop:

        def after_step(result: StepResult) -> bool:
            nonlocal last_loss
            last_loss = result.loss
            append_lines(folder / "metrics.jsonl", json.dumps({"kind": "step", **asdict(result)}))
            report.on_step(result, n_steps, time.monotonic() - started_s)
            if problem := detector.update(result.loss):
                raise Diverged(f"step {result.step}: {problem}; lower --learning-rate")
            return bool(stop.name)

        step = train(
            model,
            batches,
            config.objective,
            optimizer,
            n_steps=n_steps,
            schedule=schedule,
            accumulation_steps=_n_parts(config, batches.n_rows),
            max_grad_norm=config.max_grad_norm,
            seed=config.seed,
            after_step=after_step,
        )
        return step, last_loss, bool(stop.name)


def _columns(
    config: TuneConfig,
    model: Decoder,
    examples: list[Example],
    texts: list[tuple[Encoded, ...]],
    chosen: list[int],
    n_ctx: int,
) -> Columns:
    """The arrays of the chosen examples; log-probabilities of the reference come from the model itself."""
    objective, picked = config.objective, [texts[i] for i in chosen]
    if objective.data == "answers":
        singles = [text for (text,) in picked]
        return packed_columns(singles, n_ctx) if config.adapter.can_pack else answer_columns(singles)
    pairs = mismatched([text for (text,) in picked]) if objective.data == "labels" else picked
    ids_N2T, target_N2T = pair_columns(pairs)
    reference_N2 = np.zeros(ids_N2T.shape[:2], np.float32)
    if objective.needs_reference:
        with torch.no_grad():
            for i in range(len(pairs)):
                row = (torch.from_numpy(column[i : i + 1]) for column in (ids_N2T, target_N2T))
                reference_N2[i] = pair_logprobs(model, *row)[0][0].numpy()
    if objective.data == "pairs":
        return ids_N2T, target_N2T, reference_N2
    return ids_N2T, target_N2T, reference_N2, np.array([examples[i].is_good for i in chosen])


def _estimate(config: TuneConfig, model: Decoder, batches: Shuffled, opened: OpenedModel) -> Estimate:
    n_steps = config.n_steps or config.n_epochs * batches.n_batches
    n_parts = _n_parts(config, batches.n_rows)
    part = [torch.from_numpy(c[: -(-batches.n_rows // n_parts)]) for c in batches.batch(0)]
    bytes_needed = memory_bytes(model, opened.blueprint, part[0].numel())
    seconds = 0.0
    if (available := available_memory_bytes()) is None or bytes_needed < available:
        model.train()
        seconds = seconds_per_part(model, lambda: config.objective(model, *part))
    return Estimate(
        seconds * n_parts * n_steps,
        bytes_needed,
        n_steps,
        sum(p.numel() for p in model.parameters() if p.requires_grad),
        sum(p.numel() for p in model.parameters()),
    )


def _n_parts(config: TuneConfig, n_rows: int) -> int:
    """Micro-batches of a step: one row each, which needs least memory; KTO compares the rows of a batch."""
    return 1 if config.objective.data == "labels" else n_rows


def _check_memory(estimate: Estimate) -> None:
    available = available_memory_bytes()
    # The weights and the interpreter are in memory already.
    need = estimate.memory_bytes - 4 * estimate.n_weights
    if available is not None and need > available:
        raise OutOfMemory(
            f"tuning needs about {need / 1e9:.1f} GB more memory and {available / 1e9:.1f} GB is free; "
            "choose a smaller --context or model"
        )


def _open_module(opened: OpenedModel) -> Decoder:
    module = build(opened.blueprint, seed=None)
    if not isinstance(module, Decoder):
        raise BadInput("only decoders can be tuned; choose another model")
    load(module, Weights({name: opened.weights.lazy[name] for name in parameters(opened.blueprint)}))
    return module.eval()


def _held_out_loss(config: TuneConfig, model: Decoder, held: Shuffled | None) -> float | None:
    return evaluate_loss(model, held, config.objective, held.n_batches) if held is not None else None


def _split(n: int, seed: int) -> tuple[list[int], list[int]]:
    """Indices to learn, and those to hold out."""
    n_held = 0 if n < _MIN_TO_HOLD_OUT else min(_MAX_HELD_OUT, max(1, round(n * _HELD_OUT_SHARE)))
    order = np.random.default_rng(seed).permutation(n).tolist()
    return sorted(order[n_held:]), sorted(order[:n_held])


def _plain(config: TuneConfig) -> dict[str, Any]:
    """The configuration as JSON types."""
    kinds = {"objective": name_of(config.objective), "adapter": name_of(config.adapter)}
    return {
        "config": {
            **asdict(config),
            **{k: {"kind": v, **asdict(getattr(config, k))} for k, v in kinds.items()},
        }
    }


def _check_folder(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(f"{folder} exists and is not an empty folder; choose another with --out")


def _peak_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
