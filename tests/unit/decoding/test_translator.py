"""A translation run opened for use: translations, attention maps and averaged checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.tiny_pairs import PAIRS
from zeropoint.decoding.beam import Beam
from zeropoint.decoding.translator import Translator, open_translator
from zeropoint.errors import BadInput
from zeropoint.weights.run_checkpoint import checkpoint_steps


@pytest.fixture(scope="module")
def translator(trained_pairs: Path) -> Translator:
    return open_translator(trained_pairs)


@pytest.mark.parametrize("beam", [None, Beam(3)])
def test_translates_the_training_pairs(translator: Translator, beam: Beam | None) -> None:
    sources, answers = zip(*PAIRS, strict=True)
    assert translator.translate(sources, beam) == list(answers)


def test_empty_lines_stay_empty(translator: Translator) -> None:
    (source, answer), *_ = PAIRS
    assert translator.translate(["", source, " "]) == ["", answer, ""]
    assert translator.translate([]) == []


def test_a_text_longer_than_the_context_is_refused(translator: Translator) -> None:
    with pytest.raises(BadInput, match="has 41 tokens, but the model's context is 32"):
        translator.translate(["Hund " * 40])


def test_attention_maps_of_every_layer(translator: Translator) -> None:
    source, answer = "Kein Vogel sieht ein Tier", "No bird sees a beast"
    maps = translator.attention(source, translator.codec.encode(answer))
    assert [(one.kind, one.layer) for one in maps] == [
        (kind, layer) for kind in ("encoder self", "decoder self", "decoder source") for layer in (0, 1)
    ]
    for one in maps:
        assert one.weights_HTS.shape == (2, len(one.queries), len(one.keys))
        torch.testing.assert_close(one.weights_HTS.sum(-1), torch.ones(2, len(one.queries)))
    cross = maps[-1]
    assert cross.queries == ("<s>", "No", "bird", "sees", "a", "beast")
    assert cross.keys == ("Kein", "Vogel", "sieht", "ein", "Tier", "</s>")
    assert (maps[2].weights_HTS.triu(1) == 0).all()  # the decoder is causal


def test_averages_the_last_checkpoints(trained_pairs: Path) -> None:
    last, previous = checkpoint_steps(trained_pairs)[:-3:-1]
    one, other, mean = (
        open_translator(trained_pairs, which, n) for which, n in ((last, 1), (previous, 1), (last, 2))
    )
    for name, weight in mean.model.state_dict().items():
        weights = [translator.model.state_dict()[name] for translator in (one, other)]
        torch.testing.assert_close(weight, (weights[0] + weights[1]) / 2)
    assert mean.name == f"run, mean of steps {previous} to {last}"
    n = len([step for step in checkpoint_steps(trained_pairs) if step])
    with pytest.raises(BadInput, match=f"give 1 to {n}, or train with a larger train.max_checkpoints"):
        open_translator(trained_pairs, "latest", n + 1)


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is not a training run; train one: zeropoint train multi30k"):
        open_translator(tmp_path)
