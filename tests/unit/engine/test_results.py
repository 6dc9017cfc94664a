"""What `print` and a notebook show of a model and of the results of looking inside."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import zeropoint
from zeropoint import Model
from zeropoint.engine.contract import LogitLensRows
from zeropoint.engine.session.chat import Conversation
from zeropoint.engine.session.results import AttentionResult, LensResult, visible
from zeropoint.engine.session.score import Alternatives, Score

TEXT = "abcd ab cd"
HOSTILE = "<script>"


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, context=64, threads=2) as model:
        yield model


def test_the_repr_is_one_informative_line(model: Model) -> None:
    assert repr(model).startswith(f"<Model {model.name}: llama, ")
    assert repr(model).endswith(" parameters in F32, 2 layers of width 64, context 64>")
    n = len(model.tokenize(TEXT))
    assert repr(model.lens(TEXT)) == f"<LensResult: 2 layers, {n} tokens>"
    assert repr(model.lens(TEXT)[0]) == f"<LogitLensRows: layer 0, {n} tokens, top 5>"
    assert repr(model.attention(TEXT, 1, [3])) == f"<AttentionResult: layer 1, 1 head, {n} tokens>"
    assert repr(model.score(TEXT)).startswith(f"<Score: {n} tokens, perplexity ")
    assert repr(model.score("a")) == "<Score: 1 token>"
    trace = model.trace(TEXT, ["blocks.0.after_ffn"])
    assert repr(trace) == f"<Trace: {n} tokens; blocks.0.after_ffn {n}x64>"


def test_showing_a_stream_does_not_advance_it(model: Model) -> None:
    stream = model.generate("abc", max_tokens=4, temperature=0)
    assert repr(stream) == "<Stream: 0 tokens so far; iterate over it or call text() for more>"
    assert "0 tokens so far" in stream._repr_html_()
    assert stream.token_ids == []
    whole = stream.text()
    assert repr(stream).startswith(f"<Stream: {len(stream.token_ids)} tokens, finish reason ")
    assert visible(whole.split("\n")[0][:4]).replace("\u2423", " ") in stream._repr_html_()


def test_the_text_of_a_stream_is_complete_after_iterating(model: Model) -> None:
    whole = model.generate("abc", max_tokens=6, temperature=0).text()
    stream = model.generate("abc", max_tokens=6, temperature=0)
    first = next(stream)
    assert whole.startswith(first)
    assert stream.text() == whole
    assert stream.text() == whole
    iterated = model.generate("abc", max_tokens=6, temperature=0)
    assert "".join(iterated) == iterated.text() == whole


def test_an_answer_of_a_conversation_is_shown_like_a_stream(model: Model) -> None:
    answer = Conversation(model).ask("hello")
    assert repr(answer).startswith("<Answer: 0 tokens so far")
    assert "0 tokens so far" in answer._repr_html_()


def test_a_notebook_shows_tables_and_maps(model: Model) -> None:
    assert "<th>layers</th><td>2</td>" in model._repr_html_()
    n = len(model.tokenize(TEXT))
    lens = model.lens(TEXT, top=2, tokens=["a"])._repr_html_()
    assert lens.count("<table>") == 2
    assert lens.count("<td") == 2 * 2 * n
    assert "probability of &#x27;a&#x27; as the next token" in lens
    attention = model.attention(TEXT, 1)._repr_html_()
    assert attention.count("<svg") == 4
    assert "layer 1, head 3" in attention
    score = model.score(TEXT, top=2, tokens=["a"])._repr_html_()
    assert score.count("<tr>") == 1 + n + 1
    assert "(next)" in score


def test_an_attention_result_is_an_array(model: Model) -> None:
    result = model.attention(TEXT, 1)
    np.testing.assert_allclose(np.asarray(result).sum(-1), 1, atol=1e-5)
    assert result[0, -1].shape == (len(result.texts),)
    assert len(result) == 4
    assert np.mean(result) == np.mean(result.weights)


def rows_of(token: int) -> LogitLensRows:
    ids, logprobs = np.full((1, 1), token, np.int32), np.zeros((1, 1), np.float32)
    return LogitLensRows(0, ids, logprobs, logprobs, np.zeros(0, np.float32))


def test_hostile_tokens_are_escaped() -> None:
    spelling = {7: HOSTILE}
    alternatives = Alternatives([(7, 0.0)], {7: 0.0})
    for result in (
        LensResult([HOSTILE], [7], spelling, [rows_of(7)]),
        AttentionResult(0, [0], [HOSTILE], np.ones((1, 1, 1), np.float32)),
        Score([7], [None], [None], alternatives, spelling),
    ):
        shown = result._repr_html_()  # type: ignore[attr-defined]
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown


def test_a_long_score_says_that_rows_are_missing() -> None:
    score = Score([1] * 300, [None, *[-1.0] * 299], spelling={1: "a"})
    assert score._repr_html_().count("<tr>") == 1 + 200 + 1
    assert "300 tokens, perplexity 2.718; the first 200" in score._repr_html_()


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" Paris", "\u2423Paris"),
        ("\n", "\u21b5"),
        ("\x1b[2J\u202e", r"\x1b[2J\u202e"),
        ("a" * 99, "a" * 23 + "\u2026"),
    ],
)
def test_a_label_shows_spaces_and_escapes_control_characters(text: str, label: str) -> None:
    assert visible(text) == label
