"""GRU encoder-decoders learn to reverse a sequence, and their attention shows how."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from tests.support.listed import Listed
from zeropoint.models.recurrent import Attention, Recurrent, RecurrentSeq2Seq
from zeropoint.train.loop.loop import train
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss

N_VOCAB, LENGTH = 8, 5
KINDS: tuple[Attention, ...] = ("bahdanau", "dot", "general", "concat")
# All share their code; two are trained in every test run, one from each paper.
TRAINED = ["bahdanau", "general", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("dot", "concat"))]


def pairs(n_batches: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Sequences of tokens 2 to 7, and the same in reverse after a 1."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(n_batches):
        source = torch.randint(2, N_VOCAB, (64, LENGTH), generator=generator)
        yield source, torch.cat([torch.ones(64, 1, dtype=torch.long), source.flip(1)], dim=1)


def trained(attention: Attention, n_batches: int) -> RecurrentSeq2Seq:
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(Recurrent(N_VOCAB, 24, 48, attention))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    batches = Listed(list(pairs(n_batches, 1)))
    train(model, batches, Seq2SeqLoss(label_smoothing=0.0), optimizer, n_steps=n_batches, max_grad_norm=1.0)
    return model.eval()


@pytest.mark.train
@pytest.mark.parametrize("attention", TRAINED)
def test_learns_to_reverse_and_attends_in_reverse(attention: Attention) -> None:
    model = trained(attention, 200)
    source, answer = next(pairs(1, 2))
    with torch.no_grad():
        predicted = model(source, answer[:, :-1]).argmax(-1)
        weights = model.alignment(source, answer[:, :-1])
    assert (predicted == answer[:, 1:]).float().mean() > 0.95
    torch.testing.assert_close(weights.sum(-1), torch.ones(64, LENGTH))
    # On average, later tokens of the answer attend to earlier tokens of the source.
    source_position = (weights.mean(0) * torch.arange(LENGTH)).sum(-1)
    assert source_position[0] > source_position[-1] + 1


@pytest.mark.parametrize("attention", ["none", *KINDS])
def test_source_padding_does_not_change_logits(attention: Attention) -> None:
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(Recurrent(N_VOCAB, 8, 12, attention)).eval()
    source, answer = torch.tensor([[2, 3, 4]]), torch.tensor([[1, 5]])
    padded, mask = torch.tensor([[2, 3, 4, 0, 0]]), torch.tensor([[1, 1, 1, 0, 0]]).bool()
    torch.testing.assert_close(model(padded, answer, source_mask_BS=mask), model(source, answer))


def test_model_without_attention_has_no_alignment() -> None:
    model = RecurrentSeq2Seq(Recurrent(N_VOCAB, 8, 12, "none"))
    assert model.score is None
    assert (model.alignment(torch.tensor([[2, 3]]), torch.tensor([[1]])) == 0).all()


def test_bahdanau_attends_before_the_step_and_luong_after() -> None:
    """Bahdanau's first attention weights do not depend on the first word of the answer; Luong's do."""
    torch.manual_seed(0)
    source = torch.tensor([[2, 3, 4], [2, 3, 4]])
    answer = torch.tensor([[5], [6]])
    for attention, differs in (("bahdanau", False), ("general", True)):
        model = RecurrentSeq2Seq(Recurrent(N_VOCAB, 8, 12, attention))  # type: ignore[arg-type]
        first, second = model.alignment(source, answer)[:, 0]
        assert bool((first - second).abs().max() > 1e-6) is differs
