"""What a run writes down about itself before it starts, so that it can be told and repeated."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zeropoint
from zeropoint.blueprint.io import to_toml
from zeropoint.blueprint.toml_codec import kind_of
from zeropoint.engine.machine import machine
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import replace_file
from zeropoint.train.checkpoints.checkpoint import SavedCheckpoint
from zeropoint.train.config.config import RunConfig, config_toml, read_run_config
from zeropoint.train.config.device import name_of
from zeropoint.train.run.prepare import Prepared
from zeropoint.weights.json_file import read_json_object

__all__ = ["check_resumed", "identity", "write_record"]

_MOST_JSON_BYTES = 1 << 20
_FREE = (
    "model.dropout",
    "model.attention_dropout",
    "model.gradient_checkpointing",
)  # of [model], what may change


def identity(config: RunConfig) -> str:
    """sha256 of what may not change when a run is resumed: model, data, objective, optimizer, seed, batch.

    Rates, how long it goes, what it shows and where it runs may.
    """
    return _sha256(repr(sorted(_fixed(config).items())).encode())


def check_resumed(
    run: Path, found: SavedCheckpoint, config: RunConfig, prepared: Prepared, notice: Callable[[str], None]
) -> None:
    """See that a checkpoint can be gone on from as configured, and say which numbers are new.

    Raises BadInput naming what may not change: a key, or data that are others than those of the run.
    """
    for name in ("config.toml", "run.json"):
        if not (run / name).is_file():
            raise BadInput(
                f"{run / name} is missing, which says what the run was; put it back, or start anew"
            )
    before = _flat(read_run_config(run))
    now, fixed = _flat(config), _fixed(config)
    changed = {name: (before.get(name), value) for name, value in now.items() if before.get(name) != value}
    for name in sorted(changed.keys() & fixed.keys()):
        raise BadInput(
            f"{name} is {changed[name][1]!r} and was {changed[name][0]!r} when {found.path} was written; "
            "leave it as it was, or start a new run"
        )
    if found.state.config_sha256 != identity(config):
        raise BadInput(
            f"{found.path} is of another configuration than {run / 'config.toml'}; start a new run"
        )
    known = read_json_object(run / "run.json", _MOST_JSON_BYTES)
    if known.get("data_sha256") != dict(prepared.sha256):
        raise BadInput(
            f"{config.data.source} has changed since {found.path} was written (its sha256 is another); "
            "put it back, or start a new run"
        )
    for name, (old, new) in changed.items():
        notice(f"{name} is {new!r} from step {found.state.step + 1} on (it was {old!r})")


def write_record(
    run: Path, config: RunConfig, prepared: Prepared, device: torch.device, first_step: int = 0
) -> None:
    """Write config.toml, blueprint.toml, tokenizer.json and run.json. Raises DiskError.

    first_step: steps that were done before; each part of a run is told in run.json.
    """
    path = run / "run.json"
    parts = read_json_object(path, _MOST_JSON_BYTES).get("parts", []) if first_step and path.is_file() else []
    part = {"first_step": first_step, "config_sha256": _sha256(config_toml(config).encode())}
    replace_file(run / "config.toml", config_toml(config).encode())
    replace_file(run / "blueprint.toml", to_toml(prepared.blueprint).encode())
    if prepared.tokenizer_json:
        replace_file(run / "tokenizer.json", prepared.tokenizer_json)
    facts = _facts(config, prepared, device) | {"parts": [*parts, part]}
    replace_file(path, json.dumps(facts, indent=2).encode())


def _flat(config: RunConfig) -> dict[str, Any]:
    """Every number by its dotted name."""
    found: dict[str, Any] = {}
    for section in fields(config):
        part = getattr(config, section.name)
        if section.name in ("objective", "optimizer", "schedule"):
            found[f"{section.name}.kind"] = kind_of(type(part))
        found |= {f"{section.name}.{field.name}": getattr(part, field.name) for field in fields(part)}
    return found


def _fixed(config: RunConfig) -> dict[str, Any]:
    flat = _flat(config)
    kept = {n: v for n, v in flat.items() if n.startswith(("model.", "data.", "objective."))}
    kept |= {n: flat[n] for n in ("optimizer.kind", "train.seed", "train.batch_size")}
    kept["train.ema"] = bool(config.train.ema)
    return {n: v for n, v in kept.items() if n not in _FREE}


def _facts(config: RunConfig, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    return {
        "zeropoint": zeropoint.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.platform(),
        "processor": machine()["cpu"],
        "device": name_of(device),
        "threads": torch.get_num_threads(),
        "seed": config.train.seed,
        "config_sha256": identity(config),
        "data_sha256": dict(prepared.sha256),
        "tokenizer_sha256": _sha256(prepared.tokenizer_json),
        "n_vocab": prepared.blueprint.n_vocab,
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit() -> str | None:
    """The commit of the source, where it is run from a checkout of its own."""
    git = ["git", "-C", os.fspath(Path(zeropoint.__file__).parent)]
    try:
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, timeout=5
        )
        told = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None if tracked.returncode == 0 else None
