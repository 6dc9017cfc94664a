"""Comparing the engines finds no difference where they agree, and names the first tap where they differ."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.tiny import Tiny, write_tiny_model
from zeropoint.inspect import compare as module
from zeropoint.inspect.compare import by_layer, compare

IDS = [5, 40, 41, 7, 120, 9]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "tiny.gguf"
    write_tiny_model(path, Tiny())
    return path


def test_engines_agree_at_every_tap(path: Path) -> None:
    comparison = compare(path, IDS)
    assert comparison.first is None
    assert comparison.same_top == 1.0
    names = [point.name for point in comparison.points]
    assert names[0] == "embedding.output"
    assert names[-1] == "logits"
    assert {"blocks.0.attention.context", "blocks.1.ffn.hidden", "blocks.1.after_ffn"} <= set(names)
    assert set(by_layer(comparison)) == {"embedding.output", "blocks.0", "blocks.1", "logits"}


def test_first_difference_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one key weight of the second torch block modified, its keys are the first difference."""
    from zeropoint.models import build

    load = build.load

    def load_modified(built: object, weights: dict[str, np.ndarray]) -> None:
        key = weights["blocks.1.attention.key.weight"].copy()
        key[3, 4] += 1.0
        load(built, {**weights, "blocks.1.attention.key.weight": key})

    monkeypatch.setattr(build, "load", load_modified)
    comparison = compare(path, IDS)
    assert comparison.first is not None
    assert comparison.first.name == "blocks.1.attention.key"
    assert comparison.first.relative > module.TOLERANCE


def test_command_exits_with_1_if_a_difference_exceeds_the_tolerance(path: Path) -> None:
    from zeropoint.cli.commands.compare import command

    run = CliRunner().invoke(command, [str(path), "--text", "abc def", "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["first_difference"] is None
    strict = CliRunner().invoke(command, [str(path), "--text", "abc def", "--tolerance", "0"])
    assert strict.exit_code == 1
    assert "first difference" in strict.stdout
