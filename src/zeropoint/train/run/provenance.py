"""Record a run's provenance: configuration, data hashes, versions and machine, so that it can be repeated."""

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
from zeropoint import registry
from zeropoint.blueprint.io import to_toml
from zeropoint.engine.machine import machine
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import replace_file
from zeropoint.train.checkpoints.checkpoint import SavedCheckpoint
from zeropoint.train.config.config import KINDS, RunConfig
from zeropoint.train.config.device import device_name
from zeropoint.train.config.io import config_toml, read_run_config
from zeropoint.train.run.prepare import Prepared
from zeropoint.weights.json_file import read_json_object

__all__ = ["check_resumable", "config_fingerprint", "write_provenance"]

_MAX_JSON_BYTES = 1 << 20
_CHANGEABLE = {"model.dropout", "model.attention_dropout", "model.gradient_checkpointing"}  # when resuming


def config_fingerprint(config: RunConfig) -> str:
    """sha256 of the settings that must not change when a run is resumed.

    These are the model, data, objective, kind of optimizer, seed and batch size. Learning rates, length,
    evaluation, samples and device may change.
    """
    return _sha256(repr(sorted(_fixed(config).items())).encode())


def check_resumable(
    run: Path, saved: SavedCheckpoint, config: RunConfig, prepared: Prepared, notice: Callable[[str], None]
) -> None:
    """Check that the checkpoint matches this configuration and data; report changed settings to `notice`.

    Raises BadInput naming the setting or the data that must not change.
    """
    for name in ("config.toml", "run.json"):
        if not (run / name).exists():
            raise BadInput(
                f"{run / name} is missing, so the run cannot be resumed; restore the file, or start a new run"
            )
    before = _flat(read_run_config(run))
    now, fixed = _flat(config), _fixed(config)
    changed = {name: (before.get(name), value) for name, value in now.items() if before.get(name) != value}
    for name in sorted(changed.keys() & fixed.keys()):
        raise BadInput(
            f"{name} is {changed[name][1]!r} but was {changed[name][0]!r} when {saved.path} was written; "
            "restore the old value, or start a new run"
        )
    if saved.state.config_sha256 != config_fingerprint(config):
        raise BadInput(
            f"{saved.path} was written with another configuration than {run / 'config.toml'}; start a new run"
        )
    facts = read_json_object(run / "run.json", _MAX_JSON_BYTES)
    if facts.get("data_sha256") != dict(prepared.sha256):
        raise BadInput(
            f"{config.data.source} has changed since {saved.path} was written (its sha256 differs); restore "
            "the data, or start a new run"
        )
    for name, (old, new) in changed.items():
        notice(f"{name} is {new!r} from step {saved.state.step + 1} on (it was {old!r})")


def write_provenance(
    run: Path, config: RunConfig, prepared: Prepared, device: torch.device, first_step: int = 0
) -> None:
    """Write config.toml, blueprint.toml, tokenizer.json and run.json. Raises DiskError.

    first_step: steps taken before this process; run.json lists every part that a run was trained in.
    """
    path = run / "run.json"
    parts = read_json_object(path, _MAX_JSON_BYTES).get("parts", []) if first_step and path.is_file() else []
    part = {"first_step": first_step, "config_sha256": _sha256(config_toml(config).encode())}
    replace_file(run / "config.toml", config_toml(config).encode())
    replace_file(run / "blueprint.toml", to_toml(prepared.blueprint).encode())
    if prepared.tokenizer_json:
        replace_file(run / "tokenizer.json", prepared.tokenizer_json)
    facts = _facts(config, prepared, device) | {"parts": [*parts, part]}
    replace_file(path, json.dumps(facts, indent=2).encode())


def _flat(config: RunConfig) -> dict[str, Any]:
    """Every setting by its dotted name."""
    flat: dict[str, Any] = {}
    for section in fields(config):
        part = getattr(config, section.name)
        if section.name in KINDS:
            flat[f"{section.name}.kind"] = registry.name_of(part)
        flat |= {f"{section.name}.{field.name}": getattr(part, field.name) for field in fields(part)}
    return flat


def _fixed(config: RunConfig) -> dict[str, Any]:
    flat = _flat(config)
    fixed = {n: v for n, v in flat.items() if n.startswith(("model.", "data.", "objective."))}
    fixed |= {n: flat[n] for n in ("optimizer.kind", "train.seed", "train.batch_size")}
    fixed["train.ema_decay"] = bool(config.train.ema_decay)
    return {n: v for n, v in fixed.items() if n not in _CHANGEABLE}


def _facts(config: RunConfig, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    return {
        "zeropoint": zeropoint.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.platform(),
        "processor": machine()["cpu"],
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "seed": config.train.seed,
        "config_sha256": config_fingerprint(config),
        "data_sha256": dict(prepared.sha256),
        "tokenizer_sha256": _sha256(prepared.tokenizer_json),
        "n_vocab": prepared.blueprint.n_vocab,
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit() -> str | None:
    """The commit of the source, if it runs from its own git checkout."""
    git = ["git", "-C", os.fspath(Path(zeropoint.__file__).parent)]
    try:
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", "__init__.py"], capture_output=True, timeout=5
        )
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() or None if tracked.returncode == 0 else None
