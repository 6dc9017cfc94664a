"""Packing keeps texts whole and apart; ids of answers follow the chat template."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support import tiny
from tests.support.tiny import write_tiny_model
from zeropoint.data.batches import IGNORED
from zeropoint.errors import BadInput
from zeropoint.tune.batches import answer_columns, mismatched, packed_columns, pair_columns
from zeropoint.tune.examples import Example
from zeropoint.tune.tokens import Encoded, Encoder, encode_examples
from zeropoint.weights.open_model import open_model

TURNS = [("user", "abc"), ("assistant", "one"), ("user", "d"), ("assistant", "two")]
MESSAGES = tuple({"role": role, "content": content} for role, content in TURNS)


def text(first: int, length: int, n_prompt: int = 1) -> Encoded:
    return Encoded(np.arange(first, first + length), np.arange(length) >= n_prompt)


def test_packing() -> None:
    ids, target, document = packed_columns([text(10, 4), text(20, 6), text(30, 3)], 8)
    assert ids.tolist() == [[20, 21, 22, 23, 24, 10, 11, 12], [30, 31, 0, 0, 0, 0, 0, 0]]
    assert target[0].tolist() == [21, 22, 23, 24, 25, 11, 12, 13]
    assert target[1].tolist() == [31, 32, *[IGNORED] * 6]
    assert document.tolist() == [[0] * 5 + [1] * 3, [0] * 2 + [1] * 6]


def test_prompts_are_no_targets_and_rows_are_padded() -> None:
    ids, target = answer_columns([text(10, 4, 3), text(20, 2)])
    assert ids.tolist() == [[10, 11, 12], [20, 0, 0]]
    assert target.tolist() == [[IGNORED, IGNORED, 13], [21, IGNORED, IGNORED]]
    ids, target = pair_columns([(text(10, 3), text(10, 2))])
    assert ids.shape == target.shape == (1, 2, 2)


def test_mismatched_answers() -> None:
    first, second = mismatched([text(10, 3, 2), text(20, 3, 1)])
    assert first[1].ids_T.tolist() == [10, 11, 21, 22]
    assert first[1].is_answer_T.tolist() == [False, False, True, True]
    assert second[1].ids_T.tolist() == [20, 12]


@pytest.mark.process
def test_answers_end_with_the_token_that_ends_the_turn(tiny_path: Path) -> None:
    with Encoder(open_model(tiny_path)) as encoder:
        every, last = encoder.encode(MESSAGES, True), encoder.encode(MESSAGES, False)
        decode = encoder.tokenizer.decode
        learned = decode(every.ids_T[every.is_answer_T].tolist())
        assert learned == "one<|im_end|>\ntwo<|im_end|>\n"
        assert decode(last.ids_T[last.is_answer_T].tolist()) == "two<|im_end|>\n"
        notices: list[str] = []
        short = Example(7, (MESSAGES[:2],))
        kept, _ = encode_examples(encoder, [short, Example(9, (MESSAGES,))], 40, notices.append)
        assert kept == [short]
        assert notices[0].startswith("1 of 2 examples have more than 40 tokens (lines 9)")
        with pytest.raises(BadInput, match="raise --context"):
            encode_examples(encoder, [short], 8, notices.append)


@pytest.mark.process
def test_a_template_without_a_marker_of_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "unmarked.gguf"
    monkeypatch.setattr(tiny, "TEMPLATE", "{% for m in messages | reverse %}{{ m['content'] }}{% endfor %}")
    write_tiny_model(path)
    with (
        Encoder(open_model(path)) as encoder,
        pytest.raises(BadInput, match="line 3: the chat template does"),
    ):
        encode_examples(encoder, [Example(3, (MESSAGES,))], 99, lambda text: None)
