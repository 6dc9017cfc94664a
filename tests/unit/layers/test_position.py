"""Positions: the published formulas, and the properties they are chosen for."""

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
from zeropoint.errors import ContextFull
from zeropoint.layers.position.alibi import alibi_bias
from zeropoint.layers.position.learned import LearnedPosition
from zeropoint.layers.position.relative_bias import RelativeBias as RelativeBiasLayer
from zeropoint.layers.position.relative_bias import buckets
from zeropoint.layers.position.rope import Rotation
from zeropoint.layers.position.sinusoidal import sinusoids

K = 8
ROPE = Rope(10000.0, K)


def at(*positions: int) -> Tensor:
    return torch.tensor([positions])


def test_sinusoids_are_those_of_the_paper() -> None:
    got_TD = sinusoids(at(*range(50)), 16)[0]
    for p in (0, 1, 49):
        for i in range(8):
            angle = p / 10000 ** (2 * i / 16)
            assert got_TD[p, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert got_TD[p, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_a_shift_of_sinusoids_is_linear() -> None:
    """Kazemnejad, 2019: one matrix carries every position to the next but two."""
    table = sinusoids(at(*range(60)), 8)[0].double()
    matrix = torch.linalg.lstsq(table[:-3], table[3:]).solution
    torch.testing.assert_close(table[:-3] @ matrix, table[3:], atol=1e-4, rtol=0)


def test_learned_positions_end() -> None:
    layer = LearnedPosition(4, 8)
    assert torch.equal(layer(at(3, 1))[0], layer.weight[[3, 1]])
    with pytest.raises(ContextFull, match="5 tokens and the model knows 4 positions"):
        layer(at(4))


@pytest.mark.parametrize("is_interleaved", [True, False])
def test_scores_of_rotated_heads_depend_on_the_distance_alone(is_interleaved: bool) -> None:
    rotate = Rotation(replace(ROPE, is_interleaved=is_interleaved))
    q, k = torch.randn(1, 1, 1, K), torch.randn(1, 1, 1, K)
    scores = [(rotate(q, at(p + 5)) * rotate(k, at(p))).sum().item() for p in (0, 1, 70)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-4)
    assert (rotate(q, at(9)) * rotate(k, at(1))).sum().item() != pytest.approx(scores[0], abs=1e-3)


def test_rotation_keeps_lengths_and_position_zero() -> None:
    x = torch.randn(1, 2, 3, K)
    turned = Rotation(ROPE)(x, at(0, 1, 50))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    torch.testing.assert_close(turned[:, :, 0], x[:, :, 0])


def test_layouts_are_one_rotation_with_columns_in_another_order() -> None:
    x = torch.randn(1, 2, 5, K)
    order = [0, 4, 1, 5, 2, 6, 3, 7]  # halves (i, i + 4) to neighbours
    halves = Rotation(ROPE)(x, at(*range(5)))
    neighbours = Rotation(replace(ROPE, is_interleaved=True))(x[..., order], at(*range(5)))
    torch.testing.assert_close(neighbours, halves[..., order])


def test_only_the_first_columns_turn() -> None:
    x = torch.randn(1, 1, 2, K)
    turned = Rotation(replace(ROPE, n_rotated=4))(x, at(3, 4))
    assert torch.equal(turned[..., 4:], x[..., 4:])
    assert not torch.equal(turned[..., :4], x[..., :4])


def test_linear_scaling_squeezes_positions() -> None:
    x = torch.randn(1, 1, 1, K)
    scaled = Rotation(replace(ROPE, scaling=LinearScaling(4.0)))
    torch.testing.assert_close(scaled(x, at(12)), Rotation(ROPE)(x, at(3)))


def test_yarn_lengthens_and_longrope_asks_how_long() -> None:
    x = torch.randn(1, 1, 1, K)
    yarn = Rotation(replace(ROPE, scaling=YarnScaling(4.0, 16)))
    torch.testing.assert_close(yarn(x, at(0)), x * (0.1 * math.log(4) + 1))
    long = LongRopeScaling((1.0,) * 4, (2.0,) * 4, n_original=8)
    rotate = Rotation(replace(ROPE, scaling=long))
    torch.testing.assert_close(rotate(x, at(6), 8), Rotation(ROPE)(x, at(6)))
    torch.testing.assert_close(rotate(x, at(6), 9), Rotation(ROPE)(x, at(3)))


def test_alibi_is_that_of_the_paper() -> None:
    bias_HTS = alibi_bias(Alibi(), 8, 3, 3)
    assert bias_HTS[:, 2, 0].tolist() == [-2 * 2**-h for h in range(1, 9)]
    assert bias_HTS[0, 2].tolist() == [-1.0, -0.5, 0.0]


@pytest.mark.parametrize("is_bidirectional", [True, False])
@pytest.mark.parametrize(("n_buckets", "longest"), [(32, 128), (8, 16)])
def test_buckets_are_those_of_t5(is_bidirectional: bool, n_buckets: int, longest: int) -> None:
    from transformers.models.t5.modeling_t5 import T5Attention

    distance = torch.arange(-200, 201)
    want = T5Attention._relative_position_bucket(-distance, is_bidirectional, n_buckets, longest)
    assert torch.equal(buckets(distance, RelativeBias(n_buckets, longest, is_bidirectional)), want)


def test_relative_bias_is_a_number_a_head_and_bucket() -> None:
    layer = RelativeBiasLayer(RelativeBias(8, 16, False), 3)
    with torch.no_grad():
        layer.weight.copy_(torch.arange(24.0).view(8, 3))
    bias_HTS = layer(2, 4)
    assert bias_HTS.shape == (3, 2, 4)
    assert bias_HTS[1].tolist() == [[7.0, 4.0, 1.0, 1.0], [10.0, 7.0, 4.0, 1.0]]
