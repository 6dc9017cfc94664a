"""What a model file says that was ignored reaches the user when the model is loaded."""

from __future__ import annotations

from pathlib import Path

import gguf

from tests.support.tiny import write_tiny_model
from zeropoint import load


def test_an_unused_special_token_outside_the_vocabulary_is_a_notice(tmp_path: Path) -> None:
    extra = {"tokenizer.ggml.padding_token_id": (99999, gguf.GGUFValueType.UINT32)}
    write_tiny_model(tmp_path / "a.gguf", extra=extra)
    notices: list[str] = []
    with load(tmp_path / "a.gguf", notify=notices.append) as model:
        assert model.tokenizer.pad_id is None
    (notice,) = notices
    assert "a.gguf: tokenizer.ggml.padding_token_id: 99999 is outside the vocabulary" in notice
    assert notice.endswith("; it is ignored")
