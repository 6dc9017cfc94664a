"""Softmax and cross-entropy, written out, against torch's."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from zeropoint.errors import BadInput
from zeropoint.layers.loss import cross_entropy, log_softmax, perplexity, softmax


@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
@pytest.mark.parametrize("dim", [-1, 0])
def test_softmax_equals_torch(scale: float, dim: int) -> None:
    logits = scale * torch.randn(3, 7)
    torch.testing.assert_close(softmax(logits, dim), torch.softmax(logits, dim))
    torch.testing.assert_close(log_softmax(logits, dim), torch.log_softmax(logits, dim))


def test_masked_logits_get_no_probability() -> None:
    assert softmax(torch.tensor([0.0, -torch.inf, 0.0])).tolist() == [0.5, 0.0, 0.5]


def test_cross_entropy_and_its_gradient_equal_torch() -> None:
    logits, targets = torch.randn(2, 5, 11, requires_grad=True), torch.randint(11, (2, 5))
    targets[1, 2:] = -100
    loss = cross_entropy(logits, targets)
    expected = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits))


def test_equal_logits_cost_log_of_the_vocabulary() -> None:
    loss = cross_entropy(torch.zeros(4, 65), torch.tensor([1, 2, 3, 64]))
    assert loss.item() == pytest.approx(math.log(65))
    assert perplexity(loss).item() == pytest.approx(65)


def test_no_targets_give_a_loss_of_zero() -> None:
    assert cross_entropy(torch.randn(2, 5), torch.tensor([-100, -100])).item() == 0


def test_shapes_must_match() -> None:
    with pytest.raises(BadInput, match=r"logits \(2, 5\) and targets \(3,\) do not match"):
        cross_entropy(torch.randn(2, 5), torch.tensor([1, 2, 3]))
