"""Noam's schedule, smoothing, averaging."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zeropoint.errors import BadInput
from zeropoint.models.checkpoint_averaging import WeightAverage, average_weights
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss, smoothed_targets
from zeropoint.train.schedules.noam import Noam


def test_noam_rises_in_a_line_to_its_peak_and_falls_with_the_root() -> None:
    noam = Noam(512, warmup_steps=100, factor=2.0)
    assert noam(50) == pytest.approx(noam(100) / 2)
    assert noam(100) == pytest.approx(2 * 512**-0.5 / 10)
    assert noam(400) == pytest.approx(noam(100) / 2)
    assert noam(0) == noam(1) > 0


def test_smoothed_targets_are_distributions_without_padding() -> None:
    wanted = smoothed_targets(torch.tensor([2, 1, 0]), 5, 0.4, padding_id=0)
    assert wanted.sum(-1).tolist() == pytest.approx([1, 1, 0])
    assert wanted[0].tolist() == pytest.approx([0, 0.4 / 3, 0.6, 0.4 / 3, 0.4 / 3])
    assert (wanted[:, 0] == 0).all()


def test_without_smoothing_the_loss_is_cross_entropy() -> None:
    logits, target = torch.randn(2, 3, 7), torch.tensor([[1, 2, 3], [4, 0, 0]])
    ours = Seq2SeqLoss(padding_id=0, label_smoothing=0.0).loss(logits, target)
    theirs = nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=0, reduction="sum"
    )
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize("padding", [0, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_divergence_from_the_smoothed_targets(smoothing: float, padding: int) -> None:
    logits, target = (
        torch.randn(2, 3, 7, requires_grad=True),
        torch.tensor([[1, 2, 3], [4, padding, padding]]),
    )
    wanted = smoothed_targets(target.flatten(), 7, smoothing, padding)
    assert wanted.sum(-1).tolist() == pytest.approx([1, 1, 1, 1, 0, 0])
    said = torch.log_softmax(logits, -1).flatten(0, 1)
    theirs = nn.functional.kl_div(said, wanted, reduction="sum")
    ours = Seq2SeqLoss(padding, smoothing).loss(logits, target)
    torch.testing.assert_close(ours, theirs)
    (our_slope,), (their_slope,) = (torch.autograd.grad(loss, logits) for loss in (ours, theirs))
    torch.testing.assert_close(our_slope, their_slope)


def test_smoothing_makes_certainty_costly() -> None:
    """The annotated transformer's plot: the loss rises again where the model is too sure."""
    objective, target = Seq2SeqLoss(label_smoothing=0.1), torch.tensor([[1]])

    def loss(x: float) -> float:
        d = x + 3
        return float(objective.loss(torch.log(torch.tensor([[[1e-9, x / d, 1 / d, 1 / d, 1 / d]]])), target))

    assert loss(30) < loss(3)
    assert loss(30) < loss(3000)


def test_smoothing_is_checked() -> None:
    with pytest.raises(BadInput, match=r"smoothing is 1\.5"):
        smoothed_targets(torch.tensor([1]), 5, 1.5, 0)


def test_average_of_checkpoints() -> None:
    a, b = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}
    assert average_weights([a, b])["w"].tolist() == [2, 4]
    assert average_weights([a])["w"].dtype == torch.float32
    with pytest.raises(BadInput, match="differs from checkpoint 0 in v"):
        average_weights([a, {"w": a["w"], "v": a["w"]}])
    with pytest.raises(BadInput, match="no checkpoint"):
        average_weights([])


def test_an_average_may_be_asked_on_the_way_and_leaves_what_it_was_shown() -> None:
    average, weight = WeightAverage(), torch.tensor([1.0])
    average.add({"w": weight})
    weight += 2  # as an optimizer does, in place
    average.add({"w": weight})
    assert average.weights()["w"].tolist() == [2.0]
    average.add({"w": torch.tensor([8.0])})
    assert average.weights()["w"].tolist() == [4.0]
    assert weight.tolist() == [3.0]
