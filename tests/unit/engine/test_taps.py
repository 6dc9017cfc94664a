"""Taps, attention weights, logit lens, scores with alternatives, and interventions of a loaded model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import zeropoint
from tests.support.tiny_blueprints import DECODERS
from zeropoint import AddVector, Model, Scale, Tap
from zeropoint.engine import tap_requests
from zeropoint.engine.contract import LogitLens
from zeropoint.engine.tap_requests import check_lens, native_taps, residual_tap, select_taps
from zeropoint.errors import BadInput, ContextFull
from zeropoint.inspect.steer import steering_vector

TEXT = "abcd ab cd"


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, context=64, threads=2) as model:
        yield model


def test_taps_are_selected_by_name_and_pattern(model: Model) -> None:
    ids = model.tokenize(TEXT)
    trace = model.trace(TEXT, ["blocks.*.after_ffn", Tap("blocks.0.attention.key", [1])])
    assert trace.token_ids == ids
    assert set(trace.points) == {"blocks.0.after_ffn", "blocks.1.after_ffn", "blocks.0.attention.key"}
    assert trace["blocks.0.after_ffn"].shape == (len(ids), 64)
    assert trace["blocks.0.attention.key"].shape == (1, len(ids), 16)


def test_attention_returns_one_table_per_head(model: Model) -> None:
    n = len(model.tokenize(TEXT))
    assert model.attention(TEXT, 1).shape == (4, n, n)
    np.testing.assert_array_equal(model.attention(TEXT, 1, [2, 0]), model.attention(TEXT, 1)[[2, 0]])


def test_logit_lens_after_the_last_layer_equals_the_model(model: Model) -> None:
    rows = model.lens(TEXT, top=2, tokens=["a", 7], logits=True)
    assert [row.layer for row in rows] == [0, 1]
    logits = model.logits(TEXT)
    np.testing.assert_array_equal(rows[-1].logits, logits)
    np.testing.assert_array_equal(rows[-1].top_ids[:, 0], logits.argmax(-1))
    assert rows[0].named_logprobs.shape == (len(logits), 2)


def test_score_lists_alternatives_for_every_token(model: Model) -> None:
    plain, score = model.score(TEXT), model.score(TEXT, top=3, tokens=["a", "b"])
    assert plain.alternatives == []
    assert score.logprobs == plain.logprobs
    assert score.alternatives[0] is None
    a, b = model.tokenize("a")[0], model.tokenize("b")[0]
    for index, (token, logprob) in enumerate(
        zip(score.token_ids[1:], score.logprobs[1:], strict=True), start=1
    ):
        alternatives = score.alternatives[index]
        assert alternatives is not None
        assert len(alternatives.top) == 3
        assert alternatives.top == sorted(alternatives.top, key=lambda entry: -entry[1])
        assert set(alternatives.named) == {a, b}
        assert logprob is not None
        assert logprob <= alternatives.top[0][1]
        if token == a:
            assert alternatives.named[a] == logprob
    assert score.next is not None
    assert [i for i, _ in score.next.top] == np.argsort(-model.logits(TEXT)[-1])[:3].tolist()


def test_long_texts_are_scored_in_chunks(model: Model) -> None:
    ids = np.random.default_rng(1).integers(3, 200, 64).tolist()
    score = model.score(ids, top=1)
    assert score.logprobs == model.score(ids).logprobs
    with pytest.raises(ContextFull, match="65 tokens"):
        model.score([*ids, 5], top=1)


def test_interventions_change_scores_answers_and_steppers(model: Model) -> None:
    intervention = Scale("blocks.0.ffn.hidden", feature=3, factor=40.0)
    assert model.score(TEXT, interventions=[intervention]).logprobs != model.score(TEXT).logprobs
    plain = model.generate(TEXT, temperature=0, max_tokens=8)
    changed = model.generate(TEXT, interventions=[intervention], temperature=0, max_tokens=8)
    assert (plain.text(), plain.token_ids) != (changed.text(), changed.token_ids)
    again = model.generate(TEXT, temperature=0, max_tokens=8)
    again.text()
    assert again.token_ids == plain.token_ids
    assert model.chat("ab", interventions=[intervention], max_tokens=2).usage.cached_tokens == 0
    stepper = model.stepper([intervention])
    changed_logits = stepper.extend(model.tokenize(TEXT))
    np.testing.assert_array_equal(
        changed_logits, model.trace(TEXT, ["logits"], interventions=[intervention])["logits"]
    )


def test_steering_vector_turns_one_text_into_the_other(model: Model) -> None:
    """Added at the last token, the vector turns the residual stream of one text into that of the other."""
    steer = steering_vector(model, "abd", "cd", layer=1)
    streams = [model.trace(text, [steer.point])[steer.point][-1] for text in ("abd", "cd")]
    np.testing.assert_allclose(steer.vector, streams[0] - streams[1], atol=1e-6)
    last = len(model.tokenize("cd")) - 1
    addition = AddVector(steer.point, steer.vector, start=last)
    logits_V = model.trace("cd", ["logits"], interventions=[addition])["logits"][-1]
    np.testing.assert_allclose(logits_V, model.logits("abd")[-1], atol=1e-3)
    assert steering_vector(model, "abd", "cd").point == "blocks.1.after_ffn"
    with pytest.raises(BadInput, match="'ab' has one, so write a longer text"):
        steering_vector(model, "ab", "cd")


def test_invalid_taps_layers_and_texts_are_rejected(model: Model) -> None:
    with pytest.raises(BadInput, match=r"unknown tap `blocks.0.attention.scores`"):
        model.trace(TEXT, ["blocks.0.attention.scores"])  # the native engine never stores them
    with pytest.raises(BadInput, match=r"unknown tap `blocks.9.\*`"):
        model.trace(TEXT, ["blocks.9.*"])
    with pytest.raises(BadInput, match=r"head 4 is not at .* heads 0 to 3"):
        model.attention(TEXT, 0, [4])
    with pytest.raises(BadInput, match="layer 2 is not in the model; it has layers 0 to 1"):
        model.attention(TEXT, 2)
    with pytest.raises(BadInput, match="layer -1 is not in the model"):
        model.lens(TEXT, [-1])
    with pytest.raises(BadInput, match="'abc d' is not one token but 'abc', ' ', 'd'"):
        model.lens(TEXT, tokens=["abc d"])
    with pytest.raises(BadInput, match="0 tokens"):
        model.trace([], ["logits"])
    with pytest.raises(ContextFull, match="65 tokens"):
        model.trace([5] * 65, ["logits"])


def test_recorded_bytes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    b = DECODERS["llama"]
    point = "blocks.0.attention.weights"
    assert select_taps(b, 10, [Tap(point, [1])])[point][1] == [1]
    monkeypatch.setattr(tap_requests, "MAX_TRACE_BYTES", 4 * 10 * 10)
    select_taps(b, 10, [Tap(point, [1])])
    with pytest.raises(BadInput, match="choose fewer layers or heads"):
        select_taps(b, 10, [Tap(point, [1, 2])])
    with pytest.raises(BadInput, match="choose fewer layers, a smaller top"):
        check_lens(b, 10, LogitLens([0], top=20))


@pytest.mark.parametrize(
    ("lens", "sentence"),
    [
        (LogitLens([2]), "layers 0 to 1"),
        (LogitLens([0, 0]), "twice"),
        (LogitLens([0], top=62), "expected 0 to 61"),
        (LogitLens([0], tokens=[61]), "token id 61 is outside"),
    ],
)
def test_invalid_lens_options_are_rejected(lens: LogitLens, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        check_lens(DECODERS["llama"], 3, lens)


def test_available_taps_depend_on_the_blueprint() -> None:
    assert "blocks.0.ffn.hidden" in native_taps(DECODERS["phi2"])
    assert "blocks.0.after_attention" not in native_taps(DECODERS["phi2"])
    assert "blocks.0.attention.output" not in native_taps(DECODERS["gemma2"])
    assert not [name for name in native_taps(DECODERS["mixtral"]) if ".ffn" in name]
    assert residual_tap(DECODERS["attention alone"], 0) == "blocks.0.after_attention"
    with pytest.raises(BadInput, match="has no heads"):
        select_taps(DECODERS["llama"], 3, [Tap("blocks.0.after_ffn", [0])])
