"""Norms, feed-forward networks, mixture of experts, embedding, head, KV cache and positions."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.blueprint.parts import norm as norms
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.position import Sinusoidal
from zeropoint.blueprint.spec import Block
from zeropoint.blueprint.spec import Embedding as EmbeddingSpec
from zeropoint.blueprint.spec import Head as HeadSpec
from zeropoint.errors import BadInput, ContextFull
from zeropoint.layers.cache import Cache
from zeropoint.layers.embedding import Embedding
from zeropoint.layers.ffn.gated import Gated, gate_with
from zeropoint.layers.ffn.mixture import MixtureOfExperts, route
from zeropoint.layers.ffn.mlp import MLP
from zeropoint.layers.head import Head
from zeropoint.layers.norm import norm
from zeropoint.layers.token_positions import consecutive, token_positions

D = 16
BLOCK = Block(Attention(1, 1, D), None, None)


@pytest.mark.parametrize("is_offset", [True, False])
def test_rms_norm(is_offset: bool) -> None:
    layer, x, gain = norm(norms.RMSNorm(1e-5, is_offset), D), torch.randn(3, D), torch.rand(D)
    with torch.no_grad():
        layer.weight.copy_(gain - 1 if is_offset else gain)  # type: ignore[operator]
    expected = x / torch.sqrt(x.square().mean(-1, keepdim=True) + 1e-5) * gain
    torch.testing.assert_close(layer(x), expected)


def test_rms_norm_does_not_overflow_in_half_precision() -> None:
    big = torch.full((1, D), 1000.0, dtype=torch.float16)
    torch.testing.assert_close(norm(norms.RMSNorm(1e-5), D)(big), torch.ones(1, D, dtype=torch.float16))


@pytest.mark.parametrize("has_bias", [True, False])
def test_layer_norm(has_bias: bool) -> None:
    layer, x = norm(norms.LayerNorm(1e-5, has_bias), D), torch.randn(3, D)
    centred = x - x.mean(-1, keepdim=True)
    expected = centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
    torch.testing.assert_close(layer(x), expected)
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"][: 1 + has_bias]


def test_norms_start_with_a_gain_of_one() -> None:
    x = torch.randn(3, D)
    offset, plain = norm(norms.RMSNorm(1e-5, is_offset=True), D), norm(norms.RMSNorm(1e-5), D)
    torch.testing.assert_close(offset(x), plain(x))


def test_feed_forward_networks_follow_their_formulas() -> None:
    x = torch.randn(1, 3, D)
    mlp = MLP(specs.MLP(24, "relu"), D)
    torch.testing.assert_close(mlp(x), mlp.down(mlp.up(x).clamp(min=0)))
    gated = Gated(specs.Gated(24, "silu"), D)
    gate = gated.gate(x)
    torch.testing.assert_close(gated(x), gated.down(gate * torch.sigmoid(gate) * gated.up(x)))


def test_limited_gate_follows_its_formula() -> None:
    """gpt-oss: min(gate, 7) sigmoid(1.702 gate) (clip(up, -7, 7) + 1)."""
    gate, up = torch.linspace(-12, 12, 49), torch.linspace(12, -12, 49)
    limited = gate.clamp(max=7)
    expected = limited * torch.sigmoid(1.702 * limited) * (up.clamp(-7, 7) + 1)
    spec = specs.Gated(4, "gelu_sigmoid", limit=7.0, up_offset=1.0)
    torch.testing.assert_close(gate_with(spec, gate, up), expected)


def test_gelu_and_its_tanh_approximation_are_close_but_differ() -> None:
    x = torch.randn(1, 50, D)
    exact, approximate = MLP(specs.MLP(24, "gelu"), D), MLP(specs.MLP(24, "gelu_tanh"), D)
    approximate.load_state_dict(exact.state_dict())
    gap = (exact(x) - approximate(x)).abs().max().item()
    assert 0 < gap < 1e-3


@pytest.mark.parametrize("n_active", [1, 2, 4])
@pytest.mark.parametrize("is_renormalized", [True, False])
def test_loop_over_experts_equals_the_dense_computation(n_active: int, is_renormalized: bool) -> None:
    spec = specs.MixtureOfExperts(4, n_active, specs.Gated(24), is_renormalized)
    layer, x = MixtureOfExperts(spec, D), torch.randn(2, 5, D)
    torch.testing.assert_close(layer(x), layer.forward_dense(x))


def test_mixture_of_equal_experts_equals_one_expert() -> None:
    layer, x = MixtureOfExperts(specs.MixtureOfExperts(4, 2, specs.Gated(24)), D), torch.randn(2, 5, D)
    expert = Gated(specs.Gated(24), D)
    with torch.no_grad():
        for name in ("gate", "up", "down"):
            stacked = layer.experts.get_submodule(name).weight
            stacked.copy_(expert.get_submodule(name).weight.expand_as(stacked))  # type: ignore[operator,arg-type]
    torch.testing.assert_close(layer(x), expert(x))


def test_router_keeps_the_largest_probabilities() -> None:
    logits = torch.tensor([1.0, 3.0, 2.0, 0.0]).log()
    spec = specs.MixtureOfExperts(4, 2, specs.Gated(24))
    torch.testing.assert_close(route(logits, spec), torch.tensor([0.0, 0.6, 0.4, 0.0]))
    plain = specs.MixtureOfExperts(4, 2, specs.Gated(24), has_renormalized_weights=False)
    torch.testing.assert_close(route(logits, plain), torch.tensor([0.0, 0.5, 2 / 6, 0.0]))


def test_embedding_scale_applies_to_the_token_and_not_to_its_position() -> None:
    layer = Embedding(EmbeddingSpec(Sinusoidal(9), scale=4.0), 11, D)
    ids, positions = torch.tensor([[3]]), torch.tensor([[0]])
    position = torch.tensor([0.0, 1.0] * (D // 2))
    torch.testing.assert_close(layer(ids, positions)[0, 0], 4 * layer.weight[3] + position)


def test_segment_embeddings_are_added() -> None:
    layer = Embedding(EmbeddingSpec(n_types=2), 11, D)
    ids, positions = torch.tensor([[3, 3]]), torch.tensor([[0, 1]])
    x_TD = layer(ids, positions, torch.tensor([[0, 1]]))[0]
    assert layer.segment is not None
    torch.testing.assert_close(x_TD[1] - x_TD[0], layer.segment.weight[1] - layer.segment.weight[0])
    torch.testing.assert_close(layer(ids, positions)[0, 1], x_TD[0])


def test_tied_and_untied_heads() -> None:
    x, embedding_VD = torch.randn(1, 2, D), torch.randn(11, D)
    tied = Head(HeadSpec(scale=0.5, softcap=2.0), 11, D)
    torch.testing.assert_close(tied(x, embedding_VD), 2 * torch.tanh(0.5 * x @ embedding_VD.T / 2))
    untied = Head(HeadSpec(is_tied=False, has_bias=True), 11, D)
    assert untied.weight is not None
    torch.testing.assert_close(untied(x, embedding_VD), F.linear(x, untied.weight, untied.bias))


def test_head_transform_needs_a_block_with_an_activation() -> None:
    with pytest.raises(BadInput, match="has_transform needs a block with an MLP or Gated ffn"):
        Head(HeadSpec(has_transform=True), 11, D, BLOCK)
    with pytest.raises(BadInput, match="has_transform needs a block"):
        Head(HeadSpec(has_transform=True), 11, D)


def test_embedding_and_head_need_only_the_arguments_they_use() -> None:
    ids, x = torch.tensor([[3, 1, 4]]), torch.randn(1, 3, D)
    layer = Embedding(EmbeddingSpec(Sinusoidal(9)), 11, D)
    assert torch.equal(layer(ids), layer(ids, torch.tensor([[0, 1, 2]])))
    assert Head(HeadSpec(is_tied=False), 11, D)(x).shape == (1, 3, 11)
    with pytest.raises(BadInput, match="tied to the token embedding; pass its weight"):
        Head(HeadSpec(), 11, D)(x)


def test_cache_has_a_capacity_and_rolls_back() -> None:
    cache = Cache((BLOCK,) * 2, n_positions=4)
    kv = torch.randn(1, 2, 3, 8)
    for layer in cache.layers:
        keys, _ = layer.extend(kv, kv)
        assert torch.equal(keys, kv)
    assert cache.n_tokens == 3
    with pytest.raises(ContextFull, match="5 tokens and the cache holds 4"):
        cache.check_room(2)
    with pytest.raises(BadInput, match="cannot remove 4 tokens; the sequence has 3"):
        cache.rollback(4)
    cache.rollback(2)
    assert torch.equal(cache.layers[1].extend(kv, kv)[0], torch.cat([kv[:, :, :1], kv], 2))


def test_positions_start_at_the_first_token_after_padding() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    positions = token_positions(mask, None, mask)
    assert positions.positions_BT.tolist() == [[0, 0, 0, 1], [0, 1, 2, 3]]
    assert positions.n_positions == 4


def test_consecutive_positions_follow_the_past() -> None:
    assert consecutive(3, n_past=2).positions_BT.tolist() == [[2, 3, 4]]
    assert consecutive(3, n_past=2).n_positions == 5


def test_cache_stores_the_padding_mask() -> None:
    cache = Cache((BLOCK,), n_positions=8)
    mask = torch.tensor([[0, 1, 1], [1, 1, 1]])
    token_positions(mask, cache, mask)
    cache.layers[0].extend(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4))
    positions = token_positions(torch.zeros(2, 1, dtype=torch.long), cache)
    assert positions.positions_BT.tolist() == [[2], [3]]
    assert positions.padding_mask_BS is not None
    assert positions.padding_mask_BS.int().tolist() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert positions.n_positions == 8
