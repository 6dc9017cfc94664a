"""Positional encodings: the published formulas, and the properties that motivate them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from zeropoint.blueprint.parts.position import (
    Alibi,
    LinearScaling,
    LongRopeScaling,
    RelativeBias,
    Rope,
    YarnScaling,
)
from zeropoint.errors import BadInput, ContextFull
from zeropoint.layers.position.alibi import alibi_bias
from zeropoint.layers.position.learned import LearnedPosition
from zeropoint.layers.position.relative_bias import RelativeBias as RelativeBiasLayer
from zeropoint.layers.position.relative_bias import buckets
from zeropoint.layers.position.rope import RotaryEmbedding
from zeropoint.layers.position.sinusoidal import sinusoids

K = 8
ROPE = Rope(10000.0, K)


def at(*positions: int) -> Tensor:
    return torch.tensor([positions])


def rotated(x_BHTK: Tensor, rope: Rope, *positions: int) -> Tensor:
    return RotaryEmbedding(rope)(at(*positions))(x_BHTK)


def test_sinusoids_follow_the_paper() -> None:
    table_TD = sinusoids(at(*range(50)), 16)[0]
    for p in (0, 1, 49):
        for i in range(8):
            angle = p / 10000 ** (2 * i / 16)
            assert table_TD[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table_TD[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_shifting_sinusoids_is_linear() -> None:
    """Kazemnejad, 2019: one matrix maps every position to the one three steps later."""
    table = sinusoids(at(*range(60)), 8)[0].double()
    matrix = torch.linalg.lstsq(table[:-3], table[3:]).solution
    torch.testing.assert_close(table[:-3] @ matrix, table[3:], atol=1e-4, rtol=0)


def test_learned_positions_are_limited() -> None:
    layer = LearnedPosition(4, 8)
    assert torch.equal(layer(at(3, 1))[0], layer.weight[[3, 1]])
    with pytest.raises(ContextFull, match="5 tokens and the model has 4 learned positions"):
        layer(at(4))


@pytest.mark.parametrize("is_interleaved", [True, False])
def test_scores_of_rotated_heads_depend_only_on_distance(is_interleaved: bool) -> None:
    rope = replace(ROPE, is_interleaved=is_interleaved)
    q, k = torch.randn(1, 1, 1, K), torch.randn(1, 1, 1, K)
    scores = [(rotated(q, rope, p + 5) * rotated(k, rope, p)).sum().item() for p in (0, 1, 70)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-4)
    assert (rotated(q, rope, 9) * rotated(k, rope, 1)).sum().item() != pytest.approx(scores[0], abs=1e-3)


def test_rotation_preserves_lengths_and_position_zero() -> None:
    x = torch.randn(1, 2, 3, K)
    y = rotated(x, ROPE, 0, 1, 50)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(y[:, :, 0], x[:, :, 0])


def test_both_layouts_are_one_rotation_with_permuted_columns() -> None:
    x = torch.randn(1, 2, 5, K)
    order = [0, 4, 1, 5, 2, 6, 3, 7]  # halves (i, i + 4) to neighbours
    halves = rotated(x, ROPE, *range(5))
    neighbours = rotated(x[..., order], replace(ROPE, is_interleaved=True), *range(5))
    torch.testing.assert_close(neighbours, halves[..., order])


def test_only_the_first_n_rotated_columns_change() -> None:
    x = torch.randn(1, 1, 2, K)
    y = rotated(x, replace(ROPE, n_rotated=4), 3, 4)
    assert torch.equal(y[..., 4:], x[..., 4:])
    assert not torch.equal(y[..., :4], x[..., :4])


def test_linear_scaling_divides_positions() -> None:
    x = torch.randn(1, 1, 1, K)
    scaled = replace(ROPE, scaling=LinearScaling(4.0))
    torch.testing.assert_close(rotated(x, scaled, 12), rotated(x, ROPE, 3))


def test_yarn_scales_queries_and_longrope_depends_on_the_text_length() -> None:
    x = torch.randn(1, 1, 1, K)
    yarn = replace(ROPE, scaling=YarnScaling(4.0, 16))
    torch.testing.assert_close(rotated(x, yarn, 0), x * (0.1 * math.log(4) + 1))
    long = LongRopeScaling((1.0,) * 4, (2.0,) * 4, n_original=8)
    rotary = RotaryEmbedding(replace(ROPE, scaling=long))
    torch.testing.assert_close(rotary(at(6), 8)(x), rotated(x, ROPE, 6))
    torch.testing.assert_close(rotary(at(6), 9)(x), rotated(x, ROPE, 3))


@pytest.mark.parametrize("n_rotated", [0, 7])
def test_odd_rotary_width_is_rejected(n_rotated: int) -> None:
    with pytest.raises(BadInput, match=f"n_rotated is {n_rotated}; RoPE rotates pairs of columns"):
        RotaryEmbedding(replace(ROPE, n_rotated=n_rotated))


def test_rotary_width_above_the_head_is_rejected() -> None:
    with pytest.raises(BadInput, match="n_rotated is 8; expected at most the width of a head, 6"):
        RotaryEmbedding(ROPE)(at(0, 1))(torch.randn(1, 1, 2, 6))


def test_alibi_slopes_follow_the_paper() -> None:
    bias_HTS = alibi_bias(Alibi(), 8, 3, 3)
    assert bias_HTS[:, 2, 0].tolist() == [-2 * 2**-h for h in range(1, 9)]
    assert bias_HTS[0, 2].tolist() == [-1.0, -0.5, 0.0]


@pytest.mark.parametrize("is_bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "longest"), [(32, 128), (8, 16)])
def test_buckets_equal_those_of_transformers(is_bidirectional: bool, n_buckets: int, longest: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-200, 201)
    expected = T5Attention._relative_position_bucket(-distance, is_bidirectional, n_buckets, longest)
    assert torch.equal(buckets(distance, RelativeBias(n_buckets, longest, is_bidirectional)), expected)


def test_relative_bias_has_one_number_per_head_and_bucket() -> None:
    layer = RelativeBiasLayer(RelativeBias(8, 16, False), 3)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(24.0).view(8, 3))
    bias_HTS = layer(2, 4)
    assert bias_HTS.shape == (3, 2, 4)
    assert bias_HTS[1].tolist() == [[7.0, 4.0, 1.0, 1.0], [10.0, 7.0, 4.0, 1.0]]
