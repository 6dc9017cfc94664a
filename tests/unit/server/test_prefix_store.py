"""What a server had cached is there again after a restart."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

import zeropoint
from tests.unit.server.conftest import Running
from zeropoint.server.guard import GuardOptions
from zeropoint.server.models import ModelPool, PoolLimits
from zeropoint.server.prefix_store import PrefixStore, RecentTexts

TEXT = "a long beginning that is read only once, " * 6


def ask(server: Running, text: str) -> int:
    """Cached tokens of the prompt."""
    body = {"prompt": text, "max_tokens": 4, "seed": 1}
    with httpx2.Client() as http:
        reply = http.post(f"{server.url}/v1/completions", json=body).json()
    return int(reply["usage"]["prompt_tokens_details"]["cached_tokens"])


def pool(path: Path, folder: Path, **options: object) -> ModelPool:
    return ModelPool(
        ["tiny"], lambda name: zeropoint.load(path, threads=1, **options), PoolLimits(), PrefixStore(folder)
    )


def test_a_prefix_survives_a_restart(model_path: Path, tmp_path: Path) -> None:
    with Running(pool(model_path, tmp_path), GuardOptions()) as server:
        assert ask(server, TEXT) == 0
    assert len(list(tmp_path.iterdir())) == 1
    with Running(pool(model_path, tmp_path), GuardOptions()) as server:
        assert ask(server, TEXT + "and more") > 100
    assert len(list(tmp_path.iterdir())) == 2
    with Running(pool(model_path, tmp_path, cache_type="int8"), GuardOptions()) as server:
        assert ask(server, TEXT) == 0  # another type of cache has files of its own


def test_a_damaged_file_is_ignored(
    model_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Running(pool(model_path, tmp_path), GuardOptions()) as server:
        ask(server, TEXT)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-5])
    with Running(pool(model_path, tmp_path), GuardOptions()) as server:
        assert ask(server, TEXT) == 0
    assert "is ignored" in caplog.text


def test_recent_texts_are_kept_once() -> None:
    recent = RecentTexts()
    recent.add([1] * 10)
    recent.add([2] * 64)
    recent.add([2] * 70)
    for first in range(20):
        recent.add([first, *[3] * 64])
    assert len(recent.texts) == 16
    assert all(len(text) == 65 for text in recent.texts)
