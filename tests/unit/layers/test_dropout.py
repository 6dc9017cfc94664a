"""Dropout: the share of zeros, the scale of the rest, and a gradient with the same zeros."""

from __future__ import annotations

import pytest
import torch

from zeropoint.errors import BadInput
from zeropoint.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drops_with_probability_p_and_scales_the_rest(p: float, dtype: torch.dtype) -> None:
    x = torch.ones(7, 311, 101, dtype=dtype)
    y = Dropout(p).train()(x)
    assert y.dtype is dtype
    n = x.numel()
    n_dropped = int((y == 0).sum())
    assert abs(n_dropped - p * n) < 5 * (n * p * (1 - p)) ** 0.5  # five standard deviations
    rest = y[y != 0].float()
    torch.testing.assert_close(rest, torch.full_like(rest, 1 / (1 - p)), rtol=1e-2, atol=0.0)
    # Elements are dropped independently, although one random number decides four of them.
    assert 0 < (y[0, 0] == 0).float().mean() < 1
    assert ((y[..., :-1] == 0) & (y[..., 1:] == 0)).float().mean() == pytest.approx(p * p, abs=0.01)


def test_gradient_is_zero_where_the_output_is() -> None:
    x = torch.randn(33, 5, requires_grad=True)
    y = Dropout(0.3).train()(x)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), y.detach())


def test_seed_repeats_the_draws_and_calls_differ() -> None:
    layer, x = Dropout(0.5).train(), torch.ones(999)
    torch.manual_seed(3)
    first, second = layer(x), layer(x)
    torch.manual_seed(3)
    assert (layer(x) == first).all()
    assert (first != second).any()


def test_eval_mode_and_zero_probability_are_the_identity() -> None:
    x = torch.randn(9)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0).train()(x) is x


def test_small_shapes() -> None:
    assert Dropout(0.5).train()(torch.ones(())).shape == ()
    assert Dropout(0.5).train()(torch.ones(0, 4)).shape == (0, 4)
    nearly_all = Dropout(1 - 1e-9).train()(torch.ones(100))
    assert torch.isfinite(nearly_all).all()


@pytest.mark.parametrize("p", [-0.1, 1.0, float("nan")])
def test_other_probabilities_are_rejected(p: float) -> None:
    with pytest.raises(BadInput, match="expected a probability from 0 to below 1"):
        Dropout(p)
