"""The two forms of the gated delta rule give the same outputs, states and gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from zeropoint.blueprint.parts.recurrence import GatedDeltaNet
from zeropoint.layers.cache import StateCache
from zeropoint.layers.recurrence.delta_rule import CHUNK_TOKENS, Tokens, by_chunk, by_token
from zeropoint.layers.recurrence.gated_delta_net import DeltaNet
from zeropoint.layers.token_positions import token_positions

B, H, K, V = 2, 3, 5, 4
LENGTHS = [1, 7, CHUNK_TOKENS, CHUNK_TOKENS + 1, 2 * CHUNK_TOKENS + 22]


def inputs(n_tokens: int, seed: int = 1) -> list[Tensor]:
    """Queries, keys of length 1, values, beta, log decay and a state."""
    generator = torch.Generator().manual_seed(seed)
    shapes = ((B, H, n_tokens, K), (B, H, n_tokens, K), (B, H, n_tokens, V), (B, H, n_tokens))
    q, k, v, beta = (torch.randn(shape, generator=generator) for shape in shapes)
    decay_log = -torch.randn(B, H, n_tokens, generator=generator).exp()
    state = torch.randn(B, H, K, V, generator=generator)
    tensors = (q, normalize(k, dim=-1), v, beta.sigmoid(), decay_log, state)
    return [tensor.requires_grad_() for tensor in tensors]


@pytest.mark.parametrize("has_documents", [False, True])
@pytest.mark.parametrize("n_tokens", LENGTHS)
def test_chunks_equal_tokens(n_tokens: int, has_documents: bool) -> None:
    begins = None
    if has_documents:  # in both rows elsewhere; in one at the first token of a chunk
        begins = torch.zeros(B, n_tokens, dtype=torch.bool)
        begins[0, :: CHUNK_TOKENS // 2], begins[1, 5:6] = True, True
    both = []
    for rule in (by_token, by_chunk):
        *heads, state = inputs(n_tokens)
        y, after = rule(Tokens(*heads, begins), state)
        gradients = torch.autograd.grad(y.square().sum() + after.square().sum(), [*heads, state])
        both.append((y, after, *gradients))
    for token_wise, chunked in zip(*both, strict=True):
        torch.testing.assert_close(chunked, token_wise, atol=1e-4, rtol=1e-4)


def test_a_token_is_the_published_equation() -> None:
    q, k, v, beta, decay_log, state = (tensor.detach() for tensor in inputs(1, seed=2))
    y, after = by_token(Tokens(q, k, v, beta, decay_log), state)
    q1, k1, v1, b1, decay = q[1, 2, 0], k[1, 2, 0], v[1, 2, 0], beta[1, 2, 0], decay_log[1, 2, 0].exp()
    erase = torch.eye(K) - b1 * torch.outer(k1, k1)  # S = alpha (I - beta k k^T) S + beta k v^T
    expected = decay * erase @ state[1, 2] + b1 * torch.outer(k1, v1)
    torch.testing.assert_close(after[1, 2], expected)
    torch.testing.assert_close(y[1, 2, 0], expected.T @ q1)


def test_strong_decay_in_a_chunk_gives_finite_results() -> None:
    *heads, state = inputs(CHUNK_TOKENS)
    heads[4] = torch.full((B, H, CHUNK_TOKENS), -50.0)
    y, after = by_chunk(Tokens(*heads), state)
    expected = by_token(Tokens(*heads), state)
    torch.testing.assert_close((y, after), expected, atol=1e-5, rtol=1e-5)


def test_a_key_reads_the_value_that_was_stored_under_it() -> None:
    """With beta 1 and no decay, later values of a key replace earlier ones."""
    key = normalize(torch.randn(1, 1, 1, K), dim=-1)
    k, v = key.expand(1, 1, 3, K), torch.randn(1, 1, 3, V)
    tokens = Tokens(k, k, v, torch.ones(1, 1, 3), torch.zeros(1, 1, 3))
    for rule in (by_token, by_chunk):
        torch.testing.assert_close(rule(tokens, torch.zeros(1, 1, K, V))[0], v)


@pytest.mark.parametrize("is_tiled", [False, True])
def test_a_layer_continues_long_texts_and_ignores_padding(is_tiled: bool) -> None:
    spec = GatedDeltaNet(2, 4, K, V, has_tiled_heads=is_tiled)
    layer = DeltaNet(spec, d_model=8)
    layer.initialize(torch.Generator().manual_seed(3))
    x, cache = torch.randn(2, 150, 8, generator=torch.Generator().manual_seed(4)), StateCache()
    expected = layer(x)
    parts = [layer(x[:, a:b], cache=cache) for a, b in ((0, 70), (70, 71), (71, 75), (75, 150))]
    torch.testing.assert_close(torch.cat(parts, dim=1), expected, atol=1e-5, rtol=1e-5)
    mask = torch.tensor([[0] * 40 + [1] * 150] * 2)
    padded = torch.cat([torch.ones(2, 40, 8), x], dim=1)
    positions = token_positions(mask, None, mask)
    torch.testing.assert_close(layer(padded, positions)[:, 40:], expected, atol=1e-5, rtol=1e-5)


def test_tiled_heads_are_grouped_heads_in_another_order() -> None:
    """Value head h of a tiled layer has key head h % 2: the order 0, 2, 1, 3 of a grouped layer's heads."""
    grouped = DeltaNet(GatedDeltaNet(2, 4, K, V), d_model=8)
    tiled = DeltaNet(GatedDeltaNet(2, 4, K, V, has_tiled_heads=True), d_model=8)
    mixed, beta = torch.randn(1, 3, 4 * K + 4 * V), torch.rand(1, 3, 4)
    q, k, v = mixed.split([2 * K, 2 * K, 4 * V], -1)
    order = torch.tensor([0, 2, 1, 3])
    reordered = torch.cat([q, k, v.unflatten(-1, (4, V))[:, :, order].flatten(2)], -1)
    expected = grouped.tokens(mixed, beta, beta, None)
    for ours, theirs in zip(
        tiled.tokens(reordered, beta[..., order], beta, None)[:4], expected, strict=False
    ):
        torch.testing.assert_close(ours, theirs[:, order])


def test_documents_of_a_long_row_begin_with_an_empty_state() -> None:
    layer = DeltaNet(GatedDeltaNet(2, 2, K, V), d_model=8)
    x = torch.randn(1, 150, 8)
    document = (torch.arange(150) >= 67).long()[None]
    packed = layer(x, token_positions(document, document_BT=document))
    torch.testing.assert_close(packed[:, :67], layer(x[:, :67]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(packed[:, 67:], layer(x[:, 67:]), atol=1e-5, rtol=1e-5)
