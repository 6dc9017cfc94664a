"""`zeropoint bench` and its parts: perplexity, formats side by side, speed."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

import zeropoint
from zeropoint.cli.app import main
from zeropoint.errors import BadInput
from zeropoint.evaluate.perplexity import perplexity
from zeropoint.evaluate.quality import FORMATS, TEXT, Quality, measure_quality
from zeropoint.formats import names


def test_the_default_formats_exist_and_the_text_is_long_enough() -> None:
    assert set(FORMATS) <= set(names())
    assert len(TEXT.read_text("utf-8")) > 4000


def test_perplexity_treats_windows_independently(smollm2_path: Path) -> None:
    with zeropoint.load(smollm2_path, context=64, threads=1) as model:
        text = TEXT.read_text("utf-8")[:600]
        result = perplexity(model, text, window=32, n_tokens=70)
        ids = model.tokenize(text)[:70]
        scores = [model.engine.score(ids[at : at + 32]) for at in (0, 32, 64)]
        logprobs = np.concatenate(scores).astype(np.float64)
        assert result.n_tokens == 70 - 3
        assert result.value == pytest.approx(math.exp(-logprobs.mean()), rel=1e-12)
        with pytest.raises(BadInput, match="two tokens"):
            perplexity(model, "")


def test_a_coarser_format_is_smaller_and_has_higher_perplexity(smollm2_path: Path) -> None:
    text = TEXT.read_text("utf-8")
    reported: list[Quality] = []
    formats = ["q8_0", "Q4_0"]
    rows = measure_quality(smollm2_path, formats, text, n_tokens=64, n_runs=1, on_row=reported.append)
    assert reported == rows
    fine, coarse = rows
    assert (fine.format, coarse.format) == ("Q8_0", "Q4_0")
    assert fine.file_bytes > coarse.file_bytes
    assert fine.bits_per_weight == pytest.approx(8.5, abs=0.1)
    assert fine.perplexity < coarse.perplexity
    assert min(fine.prefill_tok_s, fine.decode_tok_s) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--quality", "--formats", "q9"], "unknown format `q9`"),
        (["--quality", "--formats", ","], "--formats is empty"),
        (["--formats", "q8_0"], "only apply to --quality"),
        (["--prefill", "12,x"], "--prefill is '12,x'"),
        (["--context", "64", "--prefill", "64"], "--prefill 64 needs a context"),
        (["--context", "64", "--decode", "20"], "--decode 20 needs a context"),
        (["--quality", "--text", "/dev/zero"], "/dev/zero is not a regular file"),
        (["--quality", "--text", "nowhere.txt"], "cannot read --text nowhere.txt"),
    ],
)
def test_bench_rejects_bad_options(
    arguments: list[str], message: str, smollm2_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit:
        main(["bench", "-m", str(smollm2_path), *arguments])
    assert exit.value.code == 2
    assert message in capsys.readouterr().err


def test_bench_measures_the_requested_lengths(smollm2_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "bench",
        "-m",
        str(smollm2_path),
        "--runs",
        "1",
        "--prefill",
        "32",
        "--decode",
        "8",
        "--json",
    ]
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["prefill_tokens_per_second"]) == ["32"]
    assert list(result["decode_tokens_per_second"]) == list(result["decode_share_of_ceiling"]) == ["8"]
    assert result["first_token_ms"] > 0
