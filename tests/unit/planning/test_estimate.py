"""A plan by name: from the file's header to tokens/s."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.planning.test_plan import LLAMA_2_7B, WEIGHTS
from zeropoint.cli.app import main
from zeropoint.engine_options import EngineOptions
from zeropoint.planning.describe import ModelSize
from zeropoint.planning.estimate import estimate, estimate_speed
from zeropoint.planning.roofline import Rate
from zeropoint.weights.gguf.reader import open_gguf

SIZE = ModelSize(LLAMA_2_7B, WEIGHTS, {"Q4_1": WEIGHTS})
OPTIONS = EngineOptions()


def test_expected_speed_follows_the_slower_of_memory_and_products() -> None:
    plan, low, high = estimate_speed(SIZE, 20e9, Rate(10e9, 5e9, 15e9), OPTIONS)
    assert plan.ceiling_tok_s == pytest.approx(20e9 / plan.read_bytes)
    for tok_s, bytes_s in ((plan.expected_tok_s, 10e9), (low, 5e9), (high, 15e9)):
        assert 1 / tok_s == pytest.approx(plan.read_bytes / (0.95 * bytes_s) + 32 * 20e-6)
    faster, low, high = estimate_speed(SIZE, 20e9, Rate(80e9, 10e9, 90e9), OPTIONS)
    assert low < faster.expected_tok_s == high == faster.ceiling_tok_s == plan.ceiling_tok_s


@pytest.mark.heavy
def test_an_estimate_reads_the_file_and_measures_its_formats(tiny_path: Path) -> None:
    tensors = open_gguf(tiny_path).tensors.values()
    estimated = estimate(str(tiny_path), EngineOptions(threads=1, context=64))
    plan = estimated.plan
    assert plan.weight_bytes == sum(tensor.n_bytes for tensor in tensors)
    assert (plan.n_ctx, estimated.threads, estimated.model.info.path) == (64, 1, tiny_path)
    assert plan.ceiling_tok_s == pytest.approx(estimated.bandwidth_bytes_s / plan.read_bytes)
    assert 0 < estimated.expected_low <= plan.expected_tok_s <= estimated.expected_high <= plan.ceiling_tok_s
    # A layer costs at least 20 us, so that even a tiny model stays below this.
    assert estimated.expected_high < 1 / (2 * 20e-6)


@pytest.mark.heavy
@pytest.mark.parametrize(("low", "has_range"), [(0.95, False), (0.5, True)])
def test_plan_shows_a_range_where_the_measured_rate_varies(
    low: float,
    has_range: bool,
    tiny_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rate = Rate(1e9, low * 1e9, 1e9)
    monkeypatch.setattr("zeropoint.planning.estimate.weights_rate", lambda *arguments: rate)
    with pytest.raises(SystemExit):
        main(["plan", str(tiny_path)])
    assert ("this machine's speed varied" in capsys.readouterr().out) is has_range
