"""Many sources at once give the answers of one by one, whatever their lengths and whenever they end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from tests.support.tiny_blueprints import SEQ2SEQS
from zeropoint.blueprint import Head
from zeropoint.decoding.answers import Answering, beam_answers, greedy_answers
from zeropoint.decoding.beam import Beam, beam_search
from zeropoint.decoding.greedy import greedy
from zeropoint.errors import BadInput
from zeropoint.models.build import build
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.stepper import Seq2SeqStepper


def model(kind: str) -> Seq2Seq:
    """A head of its own and words that differ much: it does not say the same for ever, nor to everything."""
    spec = replace(SEQ2SEQS[kind], n_vocab=40, head=Head(is_tied=False))
    made = cast(Seq2Seq, build(spec, seed=5)).eval()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in sorted(made.named_parameters()):
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3 if name.startswith("embedding") else 0.1, generator=generator)
    return made


def stops(made: Seq2Seq) -> set[int]:
    """Tokens that are said in few answers and not at their start: some end, at several places."""
    free = greedy_answers(made, sources(), Answering(1, (), n_new=9))
    said = Counter(token for ids in free for token in set(ids[2:]))
    return {token for token, n in said.items() if n <= 3} - {token for ids in free for token in ids[:2]}


def sources(n: int = 11) -> list[list[int]]:
    rng = np.random.default_rng(1)
    return [rng.integers(1, 40, rng.integers(1, 9)).tolist() for _ in range(n)]


@pytest.mark.parametrize("name", SEQ2SEQS)
def test_greedy(name: str, one_thread: None) -> None:
    made = model(name)
    stop = stops(made)
    ones = [greedy(Seq2SeqStepper(made, ids), [1], 12, stop) for ids in sources()]
    assert greedy_answers(made, sources(), Answering(1, stop, n_new=12, n_rows=4)) == ones
    assert len({len(ids) for ids in ones}) > 1


@pytest.mark.parametrize("name", SEQ2SEQS)
@pytest.mark.parametrize("spec", [Beam(1), Beam(4, 0.6), Beam(3, 0.0)], ids=str)
def test_beams(name: str, spec: Beam, one_thread: None) -> None:
    made = model(name)
    stop = {min(stops(made))}  # with more, no answer is likelier than none
    found = beam_answers(made, sources(), Answering(1, stop, n_new=8, n_rows=4), spec)
    for ids, mine in zip(sources(), found, strict=True):
        theirs = beam_search(lambda ids=ids: Seq2SeqStepper(made, ids), [1], 8, spec, stop)  # type: ignore[misc]
        assert [(f.ids, f.is_stopped) for f in mine] == [(f.ids, f.is_stopped) for f in theirs]
        assert [f.logprob for f in mine] == pytest.approx([f.logprob for f in theirs], abs=1e-4)
    assert len({len(answer.ids) for answers in found for answer in answers}) > 1


def test_no_sources_no_answers() -> None:
    assert greedy_answers(model("t5"), [], Answering(1, {2})) == []


def test_a_source_without_a_token_and_a_model_in_training_are_refused() -> None:
    with pytest.raises(BadInput, match="source 1 has no token"):
        greedy_answers(model("t5"), [[1], []], Answering(1, {2}))
    with pytest.raises(BadInput, match=r"call eval\(\)"):
        greedy_answers(model("t5").train(), [[1]], Answering(1, {2}))
