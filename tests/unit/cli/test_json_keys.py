"""JSON output has readable keys: words with units, not the short names of our code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.tiny import write_tiny_model
from tests.unit.cli.conftest import Run

SHORT = re.compile(r"^(n|d|is|has)_|_(tok_s|s)$|[ ,]")


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(item)


@pytest.mark.parametrize(
    "argv",
    [
        ("models", "list"),
        ("models", "show", "tiny.gguf"),
        ("models", "show", "smollm2:135m"),
        ("data", "list"),
        ("data", "show", "shakespeare"),
        ("data", "show", "story.txt"),
        ("data", "prepare", "story.txt", "--out", "shards", "--tokenizer", "characters"),
        pytest.param(("plan", "tiny.gguf"), marks=pytest.mark.heavy, id="plan"),
        pytest.param(
            ("bench", "-m", "tiny.gguf", "--runs", "1", "--prefill", "4", "--decode", "4", "--context", "64"),
            marks=pytest.mark.heavy,
            id="bench",
        ),
        ("inspect", "-m", "tiny.gguf", "abc", "--lens", "--logprobs", "--attention", "0.0"),
        ("convert", "tiny.gguf", "copy.gguf"),
        pytest.param(("doctor",), marks=pytest.mark.heavy, id="doctor"),
        pytest.param(("verify", "16"), marks=pytest.mark.heavy, id="verify"),
    ],
    ids=" ".join,
)
def test_keys_are_words(run: Run, argv: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZEROPOINT_OFFLINE", "1")
    write_tiny_model(Path("tiny.gguf"))
    Path("story.txt").write_text("Once upon a time. " * 40)
    result = run(*argv, "--json")
    assert result.code == 0, result.err
    assert [key for key in keys(json.loads(result.out)) if SHORT.search(key)] == []
