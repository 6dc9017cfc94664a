"""Reading valid metadata; tests/hostile/test_tokenizers.py covers invalid metadata."""

from __future__ import annotations

from typing import Any

import pytest

from zeropoint.tokenizers.formats.gguf import load_tokenizer


def test_special_token_ids_are_read(tiny: Any) -> None:
    assert (tiny.bos_id, tiny.eos_id, tiny.eot_id, tiny.unk_id) == (1, 2, None, None)
    assert tiny.control_ids == {0, 1, 2, 3}
    assert tiny.stop_ids == {0, 2, 3}  # the end-of-turn tokens of this vocabulary


@pytest.mark.parametrize(("pre", "flag", "expected"), [
    ("gpt-2", None, False), ("llama-bpe", None, True), ("llama-bpe", False, False), ("gpt-2", True, True),
])  # fmt: skip
def test_add_bos_follows_the_flag_then_the_pre_tokenizer(
    pre: str, flag: bool | None, expected: bool, byte_metadata: Any, model: Any
) -> None:
    metadata = byte_metadata(pre) | ({} if flag is None else {"tokenizer.ggml.add_bos_token": flag})
    assert load_tokenizer(model(metadata)).add_bos is expected


def test_bos_is_not_added_without_a_bos_token(byte_metadata: Any, model: Any) -> None:
    metadata = byte_metadata("llama-bpe")
    del metadata["tokenizer.ggml.bos_token_id"]
    assert load_tokenizer(model(metadata)).add_bos is False


def test_special_tokens_are_control_tokens_without_token_types(byte_metadata: Any, model: Any) -> None:
    metadata = byte_metadata()
    metadata["tokenizer.ggml.tokens"][:3] = ["<other>", "<begin>", "<end>"]
    del metadata["tokenizer.ggml.token_type"]
    assert load_tokenizer(model(metadata)).control_ids == {1, 2, 3}  # 3 is <|eot_id|>


def test_a_llama_files_own_merges_are_used(sentencepiece_metadata: Any, model: Any) -> None:
    metadata = sentencepiece_metadata()
    from_scores = load_tokenizer(model(metadata)).encode("the fox")
    metadata["tokenizer.ggml.merges"] = []
    assert len(load_tokenizer(model(metadata)).encode("the fox")) == len("▁the▁fox")
    assert len(from_scores) == 2


def test_numpy_arrays_are_accepted(sentencepiece_metadata: Any, model: Any) -> None:
    import numpy as np

    metadata = sentencepiece_metadata()
    metadata["tokenizer.ggml.scores"] = np.array(metadata["tokenizer.ggml.scores"], np.float32)
    metadata["tokenizer.ggml.token_type"] = np.array(metadata["tokenizer.ggml.token_type"], np.int32)
    assert load_tokenizer(model(metadata)).n_vocab > 256
