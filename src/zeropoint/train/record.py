"""What a run writes down about itself before it starts, so that it can be told and repeated."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import zeropoint
from zeropoint.blueprint.io import to_toml
from zeropoint.train.config import Config, Eval, Sample, Train, config_toml
from zeropoint.train.prepare import Prepared
from zeropoint.weights.staged import new_file

__all__ = ["identity", "write_record"]


def identity(config: Config) -> str:
    """sha256 of what may not change when a run is resumed: model, data, objective, seed, batch.

    How long it goes, what it shows and where it runs may.
    """
    fixed = Train(seed=config.train.seed, batch_size=config.train.batch_size, ema=config.train.ema)
    kept = replace(config, train=fixed, eval=Eval(), sample=Sample())
    return hashlib.sha256(config_toml(kept).encode()).hexdigest()


def write_record(run: Path, config: Config, prepared: Prepared, device: torch.device) -> None:
    """Write config.toml, blueprint.toml, tokenizer.json and run.json. Raises DiskError."""
    _write(run / "config.toml", config_toml(config).encode())
    _write(run / "blueprint.toml", to_toml(prepared.blueprint).encode())
    if prepared.tokenizer_json:
        _write(run / "tokenizer.json", prepared.tokenizer_json)
    _write(run / "run.json", json.dumps(_facts(config, prepared, device), indent=2).encode())


def _facts(config: Config, prepared: Prepared, device: torch.device) -> dict[str, Any]:
    is_cuda = device.type == "cuda"
    return {
        "zeropoint": zeropoint.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "system": platform.platform(),
        "processor": _processor(),
        "device": torch.cuda.get_device_name(device) if is_cuda else "cpu",
        "threads": torch.get_num_threads(),
        "seed": config.train.seed,
        "config_sha256": identity(config),
        "data_sha256": dict(prepared.sha256),
        "tokenizer_sha256": hashlib.sha256(prepared.tokenizer_json).hexdigest(),
        "n_vocab": prepared.blueprint.n_vocab,
    }


def _write(path: Path, content: bytes) -> None:
    with new_file(path) as file:
        file.write_bytes(content)


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


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
