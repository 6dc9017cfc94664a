"""Write the report of a run: one self-contained HTML page made from the files of the run's folder.

It shows curves, samples, configuration, machine, the hashes of data and weights, and the commands that
continue and repeat the run. It exists from the first evaluation on and reloads itself while the run trains.
"""

from __future__ import annotations

import contextlib
import math
import re
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.io import from_toml
from zeropoint.blueprint.spec import Blueprint
from zeropoint.errors import BadInput, ZeropointError
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.json_text import parse_json
from zeropoint.files.regular_file import read_regular
from zeropoint.train.callbacks.callbacks import Callback, EvalInfo, Result, RunInfo
from zeropoint.train.callbacks.metrics import read_metrics
from zeropoint.train.checkpoints.checkpoint import resolve_pointer
from zeropoint.train.config.io import read_run_config
from zeropoint.train.report.plot import draw_png, draw_svg, read_curve

__all__ = ["STOP_REASONS", "Report", "continue_command", "next_commands", "render_html", "write_report"]

STOP_REASONS = {
    "steps": "all steps are done",
    "time": "the time budget is spent",
    "early_stopping": "the validation loss stopped improving (early stopping)",
    "SIGINT": "it was interrupted (Ctrl-C)",
    "SIGTERM": "it received SIGTERM",
    "error": "of an error, which the terminal shows",
}
"""Why a run ended, as a clause, by `Result.stopped_by`; "error" if it raised one."""

_TRAINING = "training"  # instead of a reason
_RELOAD_S = 10  # how often a browser reloads the page of a run in training, and at most how often we write it
_MAX_SAMPLES = 6
_SAMPLE = re.compile(r"step-[0-9]{1,12}\.txt")
_MAX_TEXT_BYTES = 16 << 20  # of a file that describes the run


@dataclass(frozen=True)
class _Sample:
    step: int
    text: str


class Report(Callback):
    """Writes report.html from the first evaluation on, and loss.png when the run ends.

    A failure becomes a notice of `fallback`, once. As a context manager, it also closes the page of a run
    that ends with an error.
    """

    def __init__(self, fallback: Callback) -> None:
        self._fallback = fallback
        self._folder: Path | None = None
        self._written_s = -math.inf
        self._has_failed = False

    def on_start(self, info: RunInfo) -> None:
        self._folder = info.folder
        if info.first_step:
            self._write(info.folder, _TRAINING)

    def on_eval(self, info: EvalInfo) -> None:
        is_due = time.monotonic() - self._written_s >= _RELOAD_S
        if self._folder is not None and is_due and not self._has_failed:
            self._write(self._folder, _TRAINING)

    def on_end(self, result: Result) -> None:
        self._write(result.folder, result.stopped_by)
        self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._folder is not None and kind is not None and issubclass(kind, ZeropointError):
            with contextlib.suppress(ZeropointError):  # the error that ended the run is more important
                write_report(self._folder, "error")

    def _write(self, folder: Path, stopped_by: str) -> None:
        try:
            write_report(folder, stopped_by)
        except ZeropointError as error:  # the weights are saved; a missing picture must not fail the run
            if not self._has_failed:
                self._fallback.on_notice(f"the report was not written: {error}")
            self._has_failed = True
        self._written_s = time.monotonic()


def write_report(run: Path, stopped_by: str = "") -> None:
    """Write report.html of a run, and loss.png unless the run is in training.

    stopped_by: as in `Result`, or "training" or "error". Raises BadInput naming a missing file or package,
    DiskError.
    """
    if stopped_by != _TRAINING:
        guess = _guess(_blueprint(run))
        replace_file(run / "loss.png", draw_png(read_curve(run), run.absolute().name, guess))
    replace_file(run / "report.html", render_html(run, stopped_by).encode())


def next_commands(run: Path, model: Path | str) -> list[str]:
    """Commands that use a run. model: the run, or one of its checkpoints."""
    blueprint, folder, name = _blueprint(run), shlex.quote(str(run)), shlex.quote(str(model))
    if blueprint.encoder:
        return [f'zeropoint translate {folder} "..."', f"zeropoint translate {folder} --bleu SPLIT"]
    if not blueprint.is_decoder:
        return [f"zeropoint export {folder} --gguf"]
    prompt = read_run_config(run).sample.prompt.strip() or "..."
    quoted = f'"{prompt}"' if re.fullmatch(r"[\w .,:;?-]+", prompt) else shlex.quote(prompt)
    return [f"zeropoint generate --model {name} {quoted}", f"zeropoint export {folder} --gguf"]


def continue_command(run: Path, stopped_by: str) -> str:
    """The command that continues a run: for as many steps again if all are done, else to its end."""
    steps = 2 * read_run_config(run).train.steps
    more = f" --set train.steps={steps}" if stopped_by == "steps" else ""
    return f"zeropoint train --resume --out {shlex.quote(str(run))}{more}"


def render_html(run: Path, stopped_by: str = "") -> str:
    """The page. stopped_by: as in `Result`, "training" or "error", or "" if unknown."""
    from jinja2 import Environment

    run = run.absolute()
    facts, (steps, evals) = _json(run / "run.json"), read_metrics(run)
    parts = facts.get("parts", [])
    blueprint, config = _blueprint(run), read_run_config(run)
    is_training = stopped_by == _TRAINING
    commands = [*next_commands(run, run), *([] if is_training else [continue_command(run, stopped_by)])]
    template = files("zeropoint.train.report").joinpath("report.html").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        name=run.name,
        commands="\n".join(line.replace(str(run), f"runs/{run.name}") for line in commands),
        ended=STOP_REASONS.get(stopped_by, ""),
        reload_s=_RELOAD_S if is_training else 0,
        n_steps=config.train.steps,
        written=time.strftime("%H:%M:%S"),
        n_vocab=blueprint.n_vocab,
        guess=_guess(blueprint),
        chance=_chance(steps, evals),
        last=steps[-1] if steps else {},
        last_eval=evals[-1] if evals else {},
        best=min(evals, key=lambda event: event["validation_loss"] or float("inf"), default={}),
        n_parameters=count_parameters(blueprint),
        tok_s=_tok_s(steps),
        curves=draw_svg(read_curve(run), run.name, _guess(blueprint)),
        samples=_samples(run / "samples"),
        config=_text(run / "config.toml"),
        blueprint=_text(run / "blueprint.toml"),
        facts=facts,
        resumes=", ".join(f"step {part['first_step']:,}" for part in parts[1:]),
        was_changed=len({part["config_sha256"] for part in parts}) > 1,
        machine={key: facts[key] for key in _MACHINE if facts.get(key)},
        data=facts.get("data_sha256", {}),
        weights=dict(_weights(run)),
    )


_MACHINE = ("processor", "device", "threads", "system", "python", "torch", "numpy")


def _weights(run: Path) -> list[tuple[str, str]]:
    """sha256 of the weight files of the latest and the best checkpoint."""
    hashes_by_file = []
    for pointer in ("latest", "best"):
        path = resolve_pointer(run, pointer)
        if path is not None and (manifest := path / "manifest.json").is_file():
            hashes = _json(manifest).get("sha256")
            if not isinstance(hashes, dict):
                raise BadInput(f"{manifest} does not list the hashes of its files; the run is incomplete")
            weights = [file for file in sorted(hashes) if re.fullmatch(r"weights.*\.safetensors", file)]
            hashes_by_file += [(f"{pointer}: {path.name}/{file}", hashes[file]) for file in weights]
    return hashes_by_file


def _samples(folder: Path) -> list[_Sample]:
    """Up to _MAX_SAMPLES samples, evenly spaced, first and last included."""
    paths = sorted(path for path in folder.glob("step-*.txt") if _SAMPLE.fullmatch(path.name))
    last = len(paths) - 1
    chosen = sorted({round(i * last / (_MAX_SAMPLES - 1)) for i in range(_MAX_SAMPLES)} if paths else set())
    return [_Sample(int(paths[i].stem.removeprefix("step-")), _text(paths[i])) for i in chosen]


def _blueprint(run: Path) -> Blueprint:
    return from_toml(_text(run / "blueprint.toml"), str(run / "blueprint.toml"))


def _guess(blueprint: Blueprint) -> float:
    """The loss of guessing: all tokens of the vocabulary equally likely."""
    return math.log(blueprint.n_vocab)


def _chance(steps: list[dict[str, Any]], evals: list[dict[str, Any]]) -> tuple[float, float] | None:
    """The newest loss, of validation if there is one, and the probability of the right token at that loss."""
    losses = [event["loss"] for event in steps[-1:]]
    losses += [event["validation_loss"] for event in evals[-1:]]
    known = [loss for loss in losses if loss is not None]
    return (known[-1], math.exp(-known[-1])) if known else None


def _tok_s(steps: list[dict[str, Any]]) -> float:
    """Tokens per second of training, over the complete run."""
    last: Mapping[str, Any] = steps[-1] if steps else {"tokens": 0, "seconds": 0}
    return float(last["tokens"] / max(last["seconds"], 1e-9))


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = parse_json(_text(path))
        if not isinstance(content, dict):
            raise ValueError("it must be an object")
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error}); the run is incomplete") from None
    return content


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_TEXT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); the run is incomplete") from None
