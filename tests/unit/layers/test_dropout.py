"""Dropout: how much is lost, what is left, and that the way back has the same holes."""

from __future__ import annotations

import pytest
import torch

from zeropoint.errors import BadInput
from zeropoint.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_as_much_is_lost_as_asked_and_the_rest_makes_up_for_it(p: float, dtype: torch.dtype) -> None:
    x = torch.ones(7, 311, 101, dtype=dtype)
    made = Dropout(p).train()(x)
    assert made.dtype is dtype
    n = x.numel()
    n_lost = int((made == 0).sum())
    assert abs(n_lost - p * n) < 5 * (n * p * (1 - p)) ** 0.5  # five standard deviations
    kept = made[made != 0].float()
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=1e-2, atol=0.0)
    # No axis is lost together: each draw decides on one number alone.
    assert 0 < (made[0, 0] == 0).float().mean() < 1
    assert ((made[..., :-1] == 0) & (made[..., 1:] == 0)).float().mean() == pytest.approx(p * p, abs=0.01)


def test_what_was_lost_has_no_gradient() -> None:
    x = torch.randn(33, 5, requires_grad=True)
    made = Dropout(0.3).train()(x)
    made.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), made.detach())


def test_the_same_seed_loses_the_same_and_each_call_other_numbers() -> None:
    layer, x = Dropout(0.5).train(), torch.ones(999)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert (layer(x) == first).all()
    assert (first != second).any()


def test_nothing_is_lost_when_nothing_is_asked_or_learnt() -> None:
    x = torch.randn(9)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_small_shapes() -> None:
    assert Dropout(0.5).train()(torch.ones(())).shape == ()
    assert Dropout(0.5).train()(torch.ones(0, 4)).shape == (0, 4)
    nearly_all = Dropout(1 - 1e-9).train()(torch.ones(100))
    assert torch.isfinite(nearly_all).all()


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_other_probabilities_are_refused(p: float) -> None:
    with pytest.raises(BadInput, match="expected a probability from 0 to below 1"):
        Dropout(p)
