"""Batches of many shapes do not fill the memory with cached oneDNN primitives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tiny_pairs import config, write_pairs
from zeropoint.train.run.run import run

_NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
_PROGRAM = """
import torch
from zeropoint.train.run.memory import limit_onednn_cache

limit_onednn_cache()
weight = torch.ones(256, 256, dtype=torch.bfloat16)
for _ in range(2):
    for n in range(64, 164):
        torch.nn.functional.linear(torch.ones(n, 256, dtype=torch.bfloat16), weight)
"""


def test_a_translation_run_limits_the_onednn_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(_NAMES[0], "7")
    monkeypatch.setenv(_NAMES[1], "")
    monkeypatch.delenv(_NAMES[1])
    run(config(write_pairs(tmp_path / "pairs"), 1), tmp_path / "run")
    assert [os.environ[name] for name in _NAMES] == ["7", "64"]


@pytest.mark.train
def test_the_onednn_cache_evicts_the_oldest_primitives() -> None:
    """Two passes over 100 shapes: none is still cached at its second use, in either library."""
    environment = {name: value for name, value in os.environ.items() if name not in _NAMES}
    result = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=environment | {"ONEDNN_VERBOSE": "profile_create"},
        capture_output=True,
        text=True,
        check=True,
    )
    if not (n_prepared := result.stdout.count("create:cache_miss,cpu,matmul")):
        pytest.skip("this processor multiplies bfloat16 without oneDNN")
    assert n_prepared == 200
