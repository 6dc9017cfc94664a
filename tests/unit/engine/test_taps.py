"""Looking inside a loaded model by text: points, attention, the lens, scores with alternatives, taps."""

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
from zeropoint.engine.tap_requests import check_lens, native_points, stream_after, wanted_reads
from zeropoint.errors import BadInput, ContextFull
from zeropoint.inspect.steer import steering_vector

TEXT = "abcd ab cd"


@pytest.fixture(scope="module")
def model(tiny_path: Path) -> Iterator[Model]:
    with zeropoint.load(tiny_path, context=64, threads=2) as model:
        yield model


def test_points_by_name_and_pattern(model: Model) -> None:
    ids = model.tokenize(TEXT)
    seen = model.trace(TEXT, ["blocks.*.after_ffn", Tap("blocks.0.attention.key", [1])])
    assert seen.token_ids == ids
    assert set(seen.points) == {"blocks.0.after_ffn", "blocks.1.after_ffn", "blocks.0.attention.key"}
    assert seen["blocks.0.after_ffn"].shape == (len(ids), 64)
    assert seen["blocks.0.attention.key"].shape == (1, len(ids), 16)


def test_attention_is_a_table_a_head(model: Model) -> None:
    n = len(model.tokenize(TEXT))
    assert model.attention(TEXT, 1).shape == (4, n, n)
    np.testing.assert_array_equal(model.attention(TEXT, 1, [2, 0]), model.attention(TEXT, 1)[[2, 0]])


def test_the_last_layer_of_the_lens_is_the_model(model: Model) -> None:
    rows = model.lens(TEXT, top=2, tokens=["a", 7], logits=True)
    assert [row.layer for row in rows] == [0, 1]
    logits = model.logits(TEXT)
    np.testing.assert_array_equal(rows[-1].logits, logits)
    np.testing.assert_array_equal(rows[-1].top_ids[:, 0], logits.argmax(-1))
    assert rows[0].named_logprobs.shape == (len(logits), 2)


def test_a_score_with_alternatives(model: Model) -> None:
    plain, score = model.score(TEXT), model.score(TEXT, top=3, tokens=["a", "b"])
    assert plain.alternatives == []
    assert score.logprobs == plain.logprobs
    assert score.alternatives[0] is None
    a, b = model.tokenize("a")[0], model.tokenize("b")[0]
    for place, (token, logprob) in enumerate(
        zip(score.token_ids[1:], score.logprobs[1:], strict=True), start=1
    ):
        found = score.alternatives[place]
        assert found is not None
        assert len(found.top) == 3
        assert found.top == sorted(found.top, key=lambda entry: -entry[1])
        assert set(found.named) == {a, b}
        assert logprob is not None
        assert logprob <= found.top[0][1]
        if token == a:
            assert found.named[a] == logprob
    assert score.next is not None
    assert [i for i, _ in score.next.top] == np.argsort(-model.logits(TEXT)[-1])[:3].tolist()


def test_long_texts_are_scored_in_pieces(model: Model) -> None:
    ids = np.random.default_rng(1).integers(3, 200, 64).tolist()
    score = model.score(ids, top=1)
    assert score.logprobs == model.score(ids).logprobs
    with pytest.raises(ContextFull, match="65 tokens"):
        model.score([*ids, 5], top=1)


def test_taps_change_scores_answers_and_steppers(model: Model) -> None:
    tap = Scale("blocks.0.ffn.hidden", feature=3, factor=40.0)
    assert model.score(TEXT, interventions=[tap]).logprobs != model.score(TEXT).logprobs
    plain = model.generate(TEXT, temperature=0, max_tokens=8)
    changed = model.generate(TEXT, interventions=[tap], temperature=0, max_tokens=8)
    assert (plain.text(), plain.token_ids) != (changed.text(), changed.token_ids)
    again = model.generate(TEXT, temperature=0, max_tokens=8)
    again.text()
    assert again.token_ids == plain.token_ids
    assert model.chat("ab", interventions=[tap], max_tokens=2).usage.cached_tokens == 0
    stepper = model.stepper([tap])
    changed_logits = stepper.extend(model.tokenize(TEXT))
    np.testing.assert_array_equal(
        changed_logits, model.trace(TEXT, ["logits"], interventions=[tap])["logits"]
    )


def test_a_steering_vector_leads_from_one_text_to_the_other(model: Model) -> None:
    """Added at the last token alone, it turns the stream of one text into that of the other there."""
    steer = steering_vector(model, "abd", "cd", layer=1)
    seen = [model.trace(text, [steer.point])[steer.point][-1] for text in ("abd", "cd")]
    np.testing.assert_allclose(steer.vector, seen[0] - seen[1], atol=1e-6)
    last = len(model.tokenize("cd")) - 1
    moved = AddVector(steer.point, steer.vector, start=last)
    got = model.trace("cd", ["logits"], interventions=[moved])["logits"][-1]
    np.testing.assert_allclose(got, model.logits("abd")[-1], atol=1e-3)
    assert steering_vector(model, "abd", "cd").point == "blocks.1.after_ffn"
    with pytest.raises(BadInput, match="'ab' has but one"):
        steering_vector(model, "ab", "cd")


def test_nothing_to_see(model: Model) -> None:
    with pytest.raises(BadInput, match=r"unknown point to read `blocks.0.attention.scores`"):
        model.trace(TEXT, ["blocks.0.attention.scores"])  # this engine never has them in one piece
    with pytest.raises(BadInput, match=r"unknown point to read `blocks.9.\*`"):
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


def test_a_look_has_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    b = DECODERS["llama"]
    point = "blocks.0.attention.weights"
    assert wanted_reads(b, 10, [Tap(point, [1])])[point][1] == [1]
    monkeypatch.setattr(tap_requests, "MOST_BYTES", 4 * 10 * 10)
    wanted_reads(b, 10, [Tap(point, [1])])
    with pytest.raises(BadInput, match="choose fewer layers or heads"):
        wanted_reads(b, 10, [Tap(point, [1, 2])])
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
def test_a_lens_that_cannot_be(lens: LogitLens, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        check_lens(DECODERS["llama"], 3, lens)


def test_points_follow_the_parts_of_a_model() -> None:
    assert "blocks.0.ffn.hidden" in native_points(DECODERS["phi2"])
    assert "blocks.0.after_attention" not in native_points(DECODERS["phi2"])
    assert "blocks.0.attention.output" not in native_points(DECODERS["gemma2"])
    assert not [name for name in native_points(DECODERS["mixtral"]) if ".ffn" in name]
    assert stream_after(DECODERS["attention alone"], 0) == "blocks.0.after_attention"
    with pytest.raises(BadInput, match="has no heads"):
        wanted_reads(DECODERS["llama"], 3, [Tap("blocks.0.after_ffn", [0])])
