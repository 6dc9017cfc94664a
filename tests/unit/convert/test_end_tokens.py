"""Conversions keep every token that ends a reply."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeropoint.convert.convert import convert
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf


@pytest.mark.heavy
def test_end_tokens_survive_a_conversion_there_and_back(tiny_path: Path, tmp_path: Path) -> None:
    convert(tiny_path, tmp_path / "a")
    settings = tmp_path / "a" / "generation_config.json"
    assert json.loads(settings.read_text())["eos_token_id"] == [0, 2]
    settings.write_text(json.dumps({"eos_token_id": [2, 40, 41]}))
    convert(tmp_path / "a", tmp_path / "b.gguf")
    assert load_tokenizer(open_gguf(tmp_path / "b.gguf")).stop_ids == {0, 2, 40, 41}
    convert(tmp_path / "b.gguf", tmp_path / "c")
    settings = tmp_path / "c" / "generation_config.json"
    assert json.loads(settings.read_text())["eos_token_id"] == [0, 2, 40, 41]


@pytest.mark.heavy
def test_an_end_token_outside_the_vocabulary_is_ignored_with_a_notice(
    tiny_path: Path, tmp_path: Path
) -> None:
    convert(tiny_path, tmp_path / "a")
    (tmp_path / "a" / "generation_config.json").write_text(
        '{"eos_token_id": [2, 999999, "x"], "pad_token_id": -1}'
    )
    notices: list[str] = []
    convert(tmp_path / "a", tmp_path / "b.gguf", notify=notices.append)
    assert [notice for notice in notices if "ignored" in notice] == [
        f"{tmp_path}/a/generation_config.json: `eos_token_id` has {value}, which is no token; it is ignored"
        for value in ("999999", "'x'")
    ]
    assert load_tokenizer(open_gguf(tmp_path / "b.gguf")).stop_ids == {0, 2}
