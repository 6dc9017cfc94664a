"""The two forms of the state-space scan give the same outputs, states and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from zeropoint.blueprint.parts.recurrence import Mamba2
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence.mamba2 import GroupedRMSNorm, StateSpace
from zeropoint.layers.recurrence.state_space import scan_by_chunk, scan_by_token
from zeropoint.layers.token_positions import token_positions

B, T, H, P, S = 2, 37, 3, 4, 5


def inputs(generator: torch.Generator) -> list[Tensor]:
    """Values, logarithms of decays, b, c and a state; two decays are zero, as where a document begins."""
    shapes = ((B, T, H, P), (B, T, H), (B, T, H, S), (B, T, H, S), (B, H, P, S))
    value, decay, *rest = (torch.randn(shape, generator=generator) for shape in shapes)
    exponent = -decay.exp()
    exponent[0, 9] = exponent[1, 20] = -torch.inf
    return [tensor.requires_grad_() for tensor in (value, exponent, *rest)]


@pytest.mark.parametrize("n_chunk", [1, 4, 16, 37, 64])
def test_chunks_equal_tokens(n_chunk: int) -> None:
    both = []
    for scan in (scan_by_token, lambda *args: scan_by_chunk(*args, n_chunk=n_chunk)):
        tensors = inputs(torch.Generator().manual_seed(1))
        y, state = scan(*tensors)
        gradients = torch.autograd.grad(y.square().sum() + state.square().sum(), tensors)
        both.append((y, state, *gradients))
    for by_token, by_chunk in zip(*both, strict=True):
        torch.testing.assert_close(by_chunk, by_token, atol=1e-4, rtol=1e-4)


def test_a_token_step_is_the_published_equation() -> None:
    value, exponent, b, c, state = (tensor.detach() for tensor in inputs(torch.Generator().manual_seed(2)))
    y, after = scan_by_token(value[:, :1], exponent[:, :1], b[:, :1], c[:, :1], state)
    expected = exponent[0, 0, 2].exp() * state[0, 2] + torch.outer(value[0, 0, 2], b[0, 0, 2])
    torch.testing.assert_close(after[0, 2], expected)
    torch.testing.assert_close(y[0, 0, 2], expected @ c[0, 0, 2])


@pytest.mark.parametrize("n_groups", [1, 3])
def test_a_layer_continues_long_texts_and_ignores_padding(n_groups: int) -> None:
    layer = StateSpace(Mamba2(n_heads=3, d_head=P, d_state=S, n_groups=n_groups), d_model=8)
    layer.initialize(torch.Generator().manual_seed(3))
    x, cache = torch.randn(2, 150, 8, generator=torch.Generator().manual_seed(4)), StateCache()
    expected = layer(x)
    parts = [layer(x[:, a:b], cache=cache) for a, b in ((0, 70), (70, 75), (75, 150))]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-5, rtol=1e-5)
    mask = torch.tensor([[0] * 40 + [1] * 150] * 2)
    padded = torch.cat([torch.ones(2, 40, 8), x], dim=1)
    positions = token_positions(mask, None, mask)
    torch.testing.assert_close(layer(padded, positions)[:, 40:], expected, atol=1e-5, rtol=1e-5)


def test_documents_of_a_long_row_begin_with_an_empty_state() -> None:
    layer = StateSpace(Mamba2(n_heads=3, d_head=P, d_state=S), d_model=8)
    x = torch.randn(1, 150, 8)
    document = (torch.arange(150) >= 67).long()[None]
    packed = layer(x, token_positions(document, document_BT=document))
    torch.testing.assert_close(packed[:, :67], layer(x[:, :67]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[:, 67:], layer(x[:, 67:]), atol=1e-5, rtol=1e-5)


def test_the_norm_normalizes_each_group() -> None:
    x = torch.randn(2, 5, 12)
    y = GroupedRMSNorm(12, 3, 1e-9)(x)
    torch.testing.assert_close(y.unflatten(-1, (3, 4)).square().mean(-1), torch.ones(2, 5, 3))
