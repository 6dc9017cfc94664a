"""The report of a run: one HTML page that needs nothing else, made of what stands in the run's folder.

Curves, samples, the configuration, the machine, the hashes of data and weights, and what repeats it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.io import from_toml
from zeropoint.errors import BadInput, ZeropointError
from zeropoint.files.atomic_write import atomic_file
from zeropoint.train.callbacks.callbacks import Callback, Result, RunInfo
from zeropoint.train.callbacks.metrics import read_metrics
from zeropoint.train.report.plot import draw_png, draw_svg, read_curve

__all__ = ["STOP_REASONS", "Report", "next_commands", "render_html", "write_report"]

STOP_REASONS = {
    "steps": "all steps were done",
    "time": "the time budget was spent",
    "patience": "validation had not become better for a while",
    "SIGINT": "it was interrupted",
    "SIGTERM": "it was told to end",
}
"""Why a run ended, in words, by `Result.stopped_by`."""

_MOST_SAMPLES = 6


@dataclass(frozen=True)
class _Sample:
    step: int
    text: str


class Report(Callback):
    """Draws loss.png and writes report.html when a run ends; on_notice is told where that is not possible."""

    def __init__(self, told: Callback) -> None:
        self._told = told

    def on_start(self, info: RunInfo) -> None:
        self._folder = info.folder

    def on_end(self, result: Result) -> None:
        try:
            write_report(result.folder, result.stopped_by)
        except (
            ZeropointError
        ) as error:  # what was trained is on the disk; a picture of it must not fail the run
            self._told.on_notice(f"no report: {error}")


def write_report(run: Path, stopped_by: str = "") -> None:
    """Write `loss.png` and `report.html` of a run. Raises BadInput naming what is missing, DiskError."""
    with atomic_file(run / "loss.png") as file:
        file.write_bytes(draw_png(read_curve(run), run.absolute().name))
    with atomic_file(run / "report.html") as file:
        file.write_text(render_html(run, stopped_by), "utf-8")


def next_commands(run: Path, model: Path | str) -> list[str]:
    """What can be done with a run, as command lines. model: the run, or one of its checkpoints."""
    blueprint = from_toml(_text(run / "blueprint.toml"), str(run / "blueprint.toml"))
    if blueprint.encoder:
        return [f'zeropoint translate {run} "..."', f"zeropoint translate {run} --bleu PART"]
    if not blueprint.is_decoder:
        return [f"zeropoint export {run} --gguf"]
    return [f'zeropoint generate --model {model} "..."', f"zeropoint export {run} --gguf"]


def render_html(run: Path, stopped_by: str = "") -> str:
    """The page. stopped_by: as in `Result`, "" where it is not known."""
    from jinja2 import Environment

    run = run.absolute()
    facts, (steps, evals) = _json(run / "run.json"), read_metrics(run)
    parts = facts.get("parts", [])
    blueprint = from_toml(_text(run / "blueprint.toml"), str(run / "blueprint.toml"))
    template = files("zeropoint.train.report").joinpath("report.html").read_text("utf-8")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        name=run.name,
        uses="\n".join(line.replace(str(run), f"runs/{run.name}") for line in next_commands(run, run)),
        ended=STOP_REASONS.get(stopped_by, ""),
        last=steps[-1] if steps else {},
        last_eval=evals[-1] if evals else {},
        best=min(evals, key=lambda one: one["validation_loss"] or float("inf"), default={}),
        n_parameters=count_parameters(blueprint),
        tok_s=_tok_s(steps),
        curves=draw_svg(read_curve(run), run.name),
        samples=_samples(run / "samples"),
        config=_text(run / "config.toml"),
        blueprint=_text(run / "blueprint.toml"),
        facts=facts,
        continued=", ".join(f"step {part['first_step']:,}" for part in parts[1:]),
        was_changed=len({part["config_sha256"] for part in parts}) > 1,
        machine={key: facts[key] for key in _MACHINE if facts.get(key)},
        data=facts.get("data_sha256", {}),
        weights=dict(_weights(run)),
    )


_MACHINE = ("processor", "device", "threads", "system", "python", "torch", "numpy")


def _weights(run: Path) -> list[tuple[str, str]]:
    """sha256 of the weights of the last and the best checkpoint."""
    found = []
    for pointer in ("latest", "best"):
        if not (run / pointer).is_file():
            continue
        name = _text(run / pointer).strip()
        manifest = run / "checkpoints" / name / "manifest.json"
        if manifest.is_file():
            hashes = _json(manifest)["sha256"]
            weights = [file for file in sorted(hashes) if re.fullmatch(r"weights.*\.safetensors", file)]
            found += [(f"{pointer}: {name}/{file}", hashes[file]) for file in weights]
    return found


def _samples(folder: Path) -> list[_Sample]:
    """The first, the last, and some between."""
    paths = sorted(folder.glob("step-*.txt"))
    last = len(paths) - 1
    picked = sorted({round(i * last / (_MOST_SAMPLES - 1)) for i in range(_MOST_SAMPLES)} if paths else set())
    return [_Sample(int(paths[i].stem.removeprefix("step-")), _text(paths[i])) for i in picked]


def _tok_s(steps: list[dict[str, Any]]) -> float:
    """Tokens a second of training, over the whole run."""
    last: Mapping[str, Any] = steps[-1] if steps else {"n_tokens": 0, "seconds": 0}
    return float(last["n_tokens"] / max(last["seconds"], 1e-9))


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_text(path))
    except ValueError as error:
        raise BadInput(f"{path} is no JSON ({error}); the run is not complete") from None
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read ({error}); the run is not complete") from None
