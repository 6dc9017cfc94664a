"""Capacity: the arithmetic from figures, and the figures of a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.support.tiny import Tiny, write_tiny_model
from zeropoint import load
from zeropoint.cli.app import cli
from zeropoint.errors import BadInput
from zeropoint.evaluate.capacity import Figures, Load, capacity, measure_figures


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capacity") / "tiny.gguf"
    write_tiny_model(path, Tiny())
    return path


def test_the_figures_add_up(path: Path) -> None:
    with load(path) as model:
        found = capacity(model.blueprint, Load(1.0, 500, 200), Figures(1000, 100, 400, 16))
        assert found.busy == pytest.approx(0.5 + 0.5)  # reading takes half a second, writing another half
        assert found.machines == 2
        assert found.seconds_alone == pytest.approx(2.5)
        assert found.max_requests_per_second == pytest.approx(0.7)
        assert found.answers_at_once == pytest.approx(0.5 * 2.5 / 0.5)
        half = capacity(model.blueprint, Load(0.5, 500, 200), Figures(1000, 100, 400, 16))
        assert half.machines == 1
        assert half.cache_bytes > 0


def test_a_model_is_measured(path: Path) -> None:
    with load(path, threads=1) as model:
        figures = measure_figures(model.engine, Load(1, 20, 10))
        assert min(figures.prompt, figures.alone, figures.together) > 0
        with pytest.raises(BadInput, match="the context holds 256"):
            measure_figures(model.engine, Load(1, 250, 10))


def test_the_command_prints_what_the_load_needs(path: Path) -> None:
    base = ["bench", "capacity", "--model", str(path), "--threads", "1"]
    done = CliRunner().invoke(cli, [*base, "--load", "1,20,10", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["machines"] >= 1
    table = CliRunner().invoke(cli, [*base, "--load", "1,20,10"]).output
    assert "machines needed" in table
    for bad in ("1", "x,1,1", "0,20,10", "1,20,1"):
        assert isinstance(CliRunner().invoke(cli, [*base, "--load", bad]).exception, BadInput)
