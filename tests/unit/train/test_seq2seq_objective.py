"""Training a translation model: Noam schedule, label smoothing, checkpoint averaging."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from zeropoint.errors import BadInput
from zeropoint.models.checkpoint_averaging import WeightAverage, average_weights
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss, smoothed_targets
from zeropoint.train.schedules.noam import Noam


def test_noam_rises_linearly_and_falls_with_the_square_root() -> None:
    noam = Noam(512, warmup_steps=100, factor=2.0)
    assert noam(50) == pytest.approx(noam(100) / 2)
    assert noam(100) == pytest.approx(2 * 512**-0.5 / 10)
    assert noam(400) == pytest.approx(noam(100) / 2)
    assert noam(0) == noam(1) > 0


def test_smoothed_targets_give_padding_no_probability() -> None:
    targets = smoothed_targets(torch.tensor([2, 1, 0]), 5, 0.4, padding_id=0)
    assert targets.sum(-1).tolist() == pytest.approx([1, 1, 0])
    assert targets[0].tolist() == pytest.approx([0, 0.4 / 3, 0.6, 0.4 / 3, 0.4 / 3])
    assert (targets[:, 0] == 0).all()


def test_without_smoothing_the_loss_is_cross_entropy() -> None:
    logits, target = torch.randn(2, 3, 7), torch.tensor([[1, 2, 3], [4, 0, 0]])
    loss = Seq2SeqLoss(padding_id=0, label_smoothing=0.0).loss(logits, target)
    expected = nn.functional.cross_entropy(
        logits.flatten(0, 1), target.flatten(), ignore_index=0, reduction="sum"
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("padding", [0, -1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_kl_divergence_from_the_smoothed_targets(smoothing: float, padding: int) -> None:
    logits, target = (
        torch.randn(2, 3, 7, requires_grad=True),
        torch.tensor([[1, 2, 3], [4, padding, padding]]),
    )
    targets = smoothed_targets(target.flatten(), 7, smoothing, padding)
    assert targets.sum(-1).tolist() == pytest.approx([1, 1, 1, 1, 0, 0])
    log_probs = torch.log_softmax(logits, -1).flatten(0, 1)
    expected = nn.functional.kl_div(log_probs, targets, reduction="sum")
    loss = Seq2SeqLoss(padding, smoothing).loss(logits, target)
    torch.testing.assert_close(loss, expected)
    (gradient,), (expected_gradient,) = (torch.autograd.grad(value, logits) for value in (loss, expected))
    torch.testing.assert_close(gradient, expected_gradient)


def test_smoothing_penalizes_overconfidence() -> None:
    """As plotted in "The Annotated Transformer": the loss rises again if the model is too confident."""
    objective, target = Seq2SeqLoss(label_smoothing=0.1), torch.tensor([[1]])

    def loss(x: float) -> float:
        d = x + 3
        return float(objective.loss(torch.log(torch.tensor([[[1e-9, x / d, 1 / d, 1 / d, 1 / d]]])), target))

    assert loss(30) < loss(3)
    assert loss(30) < loss(3000)


def test_label_smoothing_is_range_checked() -> None:
    with pytest.raises(BadInput, match=r"smoothing is 1\.5"):
        smoothed_targets(torch.tensor([1]), 5, 1.5, 0)


def test_average_weights_is_the_mean() -> None:
    a, b = {"w": torch.tensor([1.0, 2.0])}, {"w": torch.tensor([3.0, 6.0])}
    assert average_weights([a, b])["w"].tolist() == [2, 4]
    assert average_weights([a])["w"].dtype == torch.float32
    with pytest.raises(BadInput, match="differs from checkpoint 0 in v"):
        average_weights([a, {"w": a["w"], "v": a["w"]}])
    with pytest.raises(BadInput, match="no checkpoint"):
        average_weights([])


def test_a_running_average_does_not_change_its_inputs() -> None:
    average, weight = WeightAverage(), torch.tensor([1.0])
    average.add({"w": weight})
    weight += 2  # in place, as an optimizer does
    average.add({"w": weight})
    assert average.weights()["w"].tolist() == [2.0]
    average.add({"w": torch.tensor([8.0])})
    assert average.weights()["w"].tolist() == [4.0]
    assert weight.tolist() == [3.0]
