"""SmolLM2, converted to a folder and back, is the same model to a user: text, sampling and end tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

import zeropoint
from zeropoint.convert.convert import convert
from zeropoint.convert.text_sample import SAMPLE

QUESTION = [{"role": "user", "content": "What is 2 + 2?"}]


def test_text_sampling_and_end_tokens_survive(
    smollm2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Tensors and logits have tests of their own.
    monkeypatch.setattr("zeropoint.convert.convert.verify_tensors", lambda *arguments: None)
    monkeypatch.setattr("zeropoint.convert.convert.smoke_test", lambda *arguments: True)
    recommended = {"temperature": 0.2, "top_p": 0.9}
    notices: list[str] = []
    convert(smollm2_path, tmp_path / "hf", to="BF16", sampling=recommended, notify=notices.append)
    convert(tmp_path / "hf", tmp_path / "back.gguf", to="Q8_0", notify=notices.append)
    assert notices == []
    with zeropoint.load(smollm2_path) as first, zeropoint.load(tmp_path / "back.gguf") as last:
        for text in SAMPLE:
            assert last.tokenize(text) == first.tokenize(text)
            assert last.detokenize(last.tokenize(text)) == text
        assert last.encode_chat(QUESTION) == first.encode_chat(QUESTION)
        assert last.tokenizer.stop_ids == first.tokenizer.stop_ids
        assert last.tokenizer.add_bos == first.tokenizer.add_bos
        assert last.defaults == recommended
        for key in ("general.name", "general.license", "tokenizer.chat_template"):
            assert last.file.metadata[key] == first.file.metadata[key], key
        answer = last.chat(QUESTION, temperature=0, max_tokens=40)
        assert "4" in answer.text()
        assert answer.finish_reason == "stop"
