"""The comparison of both engines: silent where they agree, pointing at the right place where not."""

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


def test_engines_agree_at_every_point(path: Path) -> None:
    found = compare(path, IDS)
    assert found.first is None
    assert found.same_top == 1.0
    names = [point.name for point in found.points]
    assert names[0] == "embedding.output"
    assert names[-1] == "logits"
    assert {"blocks.0.attention.mix", "blocks.1.ffn.hidden", "blocks.1.after_ffn"} <= set(names)
    assert set(by_layer(found)) == {"embedding.output", "blocks.0", "blocks.1", "logits"}


def test_first_difference_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One weight of the torch side's second block is changed: its keys differ first."""
    from zeropoint.models import build

    load = build.load

    def load_changed(built: object, weights: dict[str, np.ndarray]) -> None:
        changed = dict(weights)
        key = changed["blocks.1.attention.key.weight"].copy()
        key[3, 4] += 1.0
        load(built, {**changed, "blocks.1.attention.key.weight": key})

    monkeypatch.setattr(build, "load", load_changed)
    found = compare(path, IDS)
    assert found.first is not None
    assert found.first.name == "blocks.1.attention.key"
    assert found.first.relative > module.TOLERANCE


def test_command_prints_and_exits_by_the_outcome(path: Path) -> None:
    from zeropoint.cli.commands.compare import command

    run = CliRunner().invoke(command, [str(path), "--text", "abc def", "--json"])
    assert run.exit_code == 0
    assert json.loads(run.stdout)["first_difference"] is None
    strict = CliRunner().invoke(command, [str(path), "--text", "abc def", "--tolerance", "0"])
    assert strict.exit_code == 1
    assert "first difference" in strict.stdout
