"""Write the report of a run: one self-contained HTML page made from the files of the run's folder.

It shows curves, samples, configuration, machine, the hashes of data and weights, and the command that repeats
the run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.io import from_toml
from zeropoint.errors import BadInput, ZeropointError
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.json_text import parse_json
from zeropoint.files.regular_file import read_regular
from zeropoint.train.callbacks.callbacks import Callback, Result, RunInfo
from zeropoint.train.callbacks.metrics import read_metrics
from zeropoint.train.report.plot import draw_png, draw_svg, read_curve

__all__ = ["STOP_REASONS", "Report", "next_commands", "render_html", "write_report"]

STOP_REASONS = {
    "steps": "all steps are done",
    "time": "the time budget is spent",
    "early_stopping": "the validation loss stopped improving (early stopping)",
    "SIGINT": "it was interrupted (Ctrl-C)",
    "SIGTERM": "it received SIGTERM",
}
"""Why a run ended, as a clause, by `Result.stopped_by`."""

_MAX_SAMPLES = 6
_MAX_TEXT_BYTES = 16 << 20  # of a file that describes the run


@dataclass(frozen=True)
class _Sample:
    step: int
    text: str


class Report(Callback):
    """Writes loss.png and report.html when a run ends; a failure becomes a notice of `fallback`."""

    def __init__(self, fallback: Callback) -> None:
        self._fallback = fallback

    def on_start(self, info: RunInfo) -> None:
        self._folder = info.folder

    def on_end(self, result: Result) -> None:
        try:
            write_report(result.folder, result.stopped_by)
        except ZeropointError as error:  # the weights are saved; a missing picture must not fail the run
            self._fallback.on_notice(f"the report was not written: {error}")


def write_report(run: Path, stopped_by: str = "") -> None:
    """Write loss.png and report.html of a run.

    Raises BadInput naming a missing file or package, DiskError.
    """
    replace_file(run / "loss.png", draw_png(read_curve(run), run.absolute().name))
    replace_file(run / "report.html", render_html(run, stopped_by).encode())


def next_commands(run: Path, model: Path | str) -> list[str]:
    """Commands that use a finished run. model: the run, or one of its checkpoints."""
    blueprint = from_toml(_text(run / "blueprint.toml"), str(run / "blueprint.toml"))
    if blueprint.encoder:
        return [f'zeropoint translate {run} "..."', f"zeropoint translate {run} --bleu SPLIT"]
    if not blueprint.is_decoder:
        return [f"zeropoint export {run} --gguf"]
    return [f'zeropoint generate --model {model} "..."', f"zeropoint export {run} --gguf"]


def render_html(run: Path, stopped_by: str = "") -> str:
    """The page. stopped_by: as in `Result`, or "" if unknown."""
    from jinja2 import Environment

    run = run.absolute()
    facts, (steps, evals) = _json(run / "run.json"), read_metrics(run)
    parts = facts.get("parts", [])
    blueprint = from_toml(_text(run / "blueprint.toml"), str(run / "blueprint.toml"))
    template = files("zeropoint.train.report").joinpath("report.html").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        name=run.name,
        commands="\n".join(line.replace(str(run), f"runs/{run.name}") for line in next_commands(run, run)),
        ended=STOP_REASONS.get(stopped_by, ""),
        last=steps[-1] if steps else {},
        last_eval=evals[-1] if evals else {},
        best=min(evals, key=lambda event: event["validation_loss"] or float("inf"), default={}),
        n_parameters=count_parameters(blueprint),
        tok_s=_tok_s(steps),
        curves=draw_svg(read_curve(run), run.name),
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
        if not (run / pointer).is_file():
            continue
        name = _text(run / pointer).strip()
        manifest = run / "checkpoints" / name / "manifest.json"
        if manifest.is_file():
            hashes = _json(manifest)["sha256"]
            weights = [file for file in sorted(hashes) if re.fullmatch(r"weights.*\.safetensors", file)]
            hashes_by_file += [(f"{pointer}: {name}/{file}", hashes[file]) for file in weights]
    return hashes_by_file


def _samples(folder: Path) -> list[_Sample]:
    """Up to _MAX_SAMPLES samples, evenly spaced, first and last included."""
    paths = sorted(folder.glob("step-*.txt"))
    last = len(paths) - 1
    chosen = sorted({round(i * last / (_MAX_SAMPLES - 1)) for i in range(_MAX_SAMPLES)} if paths else set())
    return [_Sample(int(paths[i].stem.removeprefix("step-")), _text(paths[i])) for i in chosen]


def _tok_s(steps: list[dict[str, Any]]) -> float:
    """Tokens per second of training, over the complete run."""
    last: Mapping[str, Any] = steps[-1] if steps else {"tokens": 0, "seconds": 0}
    return float(last["tokens"] / max(last["seconds"], 1e-9))


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = parse_json(_text(path))
    except ValueError as error:
        raise BadInput(f"{path} is not JSON ({error}); the run is incomplete") from None
    return content


def _text(path: Path) -> str:
    try:
        return read_regular(path, _MAX_TEXT_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); the run is incomplete") from None
