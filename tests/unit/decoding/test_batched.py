"""Batched decoding gives the answers of one-by-one decoding, for sources and answers of any length."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from tests.support.tiny_blueprints import SEQ2SEQS
from zeropoint.blueprint import Head
from zeropoint.decoding.batched import BatchOptions, batched_beam_search, batched_greedy
from zeropoint.decoding.beam import Beam, beam_search
from zeropoint.decoding.greedy import greedy
from zeropoint.errors import BadInput
from zeropoint.models.build import build
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.stepper import Seq2SeqStepper


def random_model(kind: str) -> Seq2Seq:
    """A model with an untied head and large weights, so that answers vary within and between sources."""
    spec = replace(SEQ2SEQS[kind], n_vocab=40, head=Head(is_tied=False))
    model = cast(Seq2Seq, build(spec, seed=5)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3 if name.startswith("embedding") else 0.1, generator=generator)
    return model


def rare_tokens(model: Seq2Seq) -> set[int]:
    """Tokens that occur in few answers and not at their start: as stop tokens they end only some answers."""
    answers = batched_greedy(model, sources(), BatchOptions(1, (), max_tokens=9))
    n_answers = Counter(token for ids in answers for token in set(ids[2:]))
    return {token for token, n in n_answers.items() if n <= 3} - {t for ids in answers for t in ids[:2]}


def sources(n: int = 11) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(1, 40, rng.integers(1, 9)).tolist() for _ in range(n)]


@pytest.mark.parametrize("name", SEQ2SEQS)
def test_batched_greedy_equals_greedy(name: str, one_thread: None) -> None:
    model = random_model(name)
    stop_ids = rare_tokens(model)
    expected = [greedy(Seq2SeqStepper(model, ids), [1], 12, stop_ids) for ids in sources()]
    assert (
        batched_greedy(model, sources(), BatchOptions(1, stop_ids, max_tokens=12, batch_size=4)) == expected
    )
    assert len({len(ids) for ids in expected}) > 1


@pytest.mark.heavy
@pytest.mark.parametrize("name", SEQ2SEQS)
@pytest.mark.parametrize("spec", [Beam(1), Beam(4, 0.6), Beam(3, 0.0)], ids=str)
def test_batched_beam_search_equals_beam_search(name: str, spec: Beam, one_thread: None) -> None:
    model = random_model(name)
    stop_ids = {min(rare_tokens(model))}  # with more of them, the empty answer is the most probable
    options = BatchOptions(1, stop_ids, max_tokens=8, batch_size=4)
    batched = batched_beam_search(model, sources(), options, spec)
    for ids, answers in zip(sources(), batched, strict=True):
        expected = beam_search(lambda ids=ids: Seq2SeqStepper(model, ids), [1], 8, spec, stop_ids)  # type: ignore[misc]
        assert [(h.ids, h.is_stopped) for h in answers] == [(h.ids, h.is_stopped) for h in expected]
        assert [h.logprob for h in answers] == pytest.approx([h.logprob for h in expected], abs=1e-4)
    assert len({len(answer.ids) for answers in batched for answer in answers}) > 1


def test_no_sources_give_no_answers() -> None:
    assert batched_greedy(random_model("t5"), [], BatchOptions(1, {2})) == []


def test_invalid_sources_modes_and_sizes_are_rejected() -> None:
    with pytest.raises(BadInput, match="source 1 has no token"):
        batched_greedy(random_model("t5"), [[1], []], BatchOptions(1, {2}))
    with pytest.raises(BadInput, match=r"call eval\(\)"):
        batched_greedy(random_model("t5").train(), [[1]], BatchOptions(1, {2}))
    with pytest.raises(BadInput, match="batch_size is 0; expected 1 or more"):
        batched_greedy(random_model("t5"), [[1]], BatchOptions(1, {2}, batch_size=0))
