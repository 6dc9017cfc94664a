"""The norm placements against their formulas, and what the blocks of a stack share."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.support.tiny_blueprints import DECODERS, SEQ2SEQS
from zeropoint.blueprint import Block as BlockSpec
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput
from zeropoint.layers.position.rope import RotaryEmbedding
from zeropoint.layers.token_positions import consecutive
from zeropoint.models.block import Block
from zeropoint.models.build import build
from zeropoint.models.stack import Stack

D = 16
SPEC = BlockSpec(Attention(2, 2, 8, Rope(10000.0, 8)), MLP(24, "relu"), RMSNorm(1e-5))


def test_pre_norm() -> None:
    block, x = Block(SPEC, D), torch.randn(1, 3, D)
    x1 = x + block.attention(block.attention_norm(x))
    torch.testing.assert_close(block(x), x1 + block.ffn(block.ffn_norm(x1)))  # type: ignore[misc]


def test_post_norm() -> None:
    block, x = Block(replace(SPEC, placement="post"), D), torch.randn(1, 3, D)
    x1 = block.attention_norm(x + block.attention(x))
    torch.testing.assert_close(block(x), block.ffn_norm(x1 + block.ffn(x1)))  # type: ignore[misc]


def test_sandwich_norm() -> None:
    block, x = Block(replace(SPEC, placement="sandwich"), D), torch.randn(1, 3, D)
    x1 = x + block.attention_output_norm(block.attention(block.attention_norm(x)))
    x2 = x1 + block.ffn_output_norm(block.ffn(block.ffn_norm(x1)))  # type: ignore[misc]
    torch.testing.assert_close(block(x), x2)


def test_parallel_sublayers() -> None:
    block, x = Block(replace(SPEC, placement="parallel"), D), torch.randn(1, 3, D)
    n = block.attention_norm(x)
    torch.testing.assert_close(block(x), x + block.attention(n) + block.ffn(n))  # type: ignore[misc]


def test_output_norm() -> None:
    block, x = Block(replace(SPEC, placement="output"), D), torch.randn(1, 3, D)
    x1 = x + block.attention_output_norm(block.attention(x))
    x2 = x1 + block.ffn_output_norm(block.ffn(x1))  # type: ignore[misc]
    torch.testing.assert_close(block(x), x2)


def test_residual_scale_multiplies_what_each_sublayer_adds() -> None:
    block, x = Block(replace(SPEC, residual_scale=0.5), D), torch.randn(1, 3, D)
    x1 = x + 0.5 * block.attention(block.attention_norm(x))
    torch.testing.assert_close(block(x), x1 + 0.5 * block.ffn(block.ffn_norm(x1)))  # type: ignore[misc]


@pytest.mark.parametrize("placement", ["pre", "post", "sandwich", "parallel", "output"])
def test_block_without_ffn_is_attention_alone(placement: str) -> None:
    block = Block(replace(SPEC, ffn=None, norm=None, placement=placement), D)  # type: ignore[arg-type]
    x = torch.randn(1, 3, D)
    torch.testing.assert_close(block(x), x + block.attention(x))


def test_cross_attention_needs_a_memory() -> None:
    block = build(SEQ2SEQS["transformer"]).blocks[0]
    with pytest.raises(BadInput, match="has cross-attention; pass the encoder's keys and values"):
        block(torch.randn(1, 3, 32))


def test_cos_and_sin_are_computed_once_per_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Rope] = []
    forward = RotaryEmbedding.forward

    def counted(self: RotaryEmbedding, positions_BT: Tensor, n_positions: int = 0) -> object:
        calls.append(self.spec)
        return forward(self, positions_BT, n_positions)

    monkeypatch.setattr(RotaryEmbedding, "forward", counted)
    build(replace(DECODERS["llama"], blocks=DECODERS["llama"].blocks * 3))(torch.tensor([[1, 2, 3]]))
    assert len(calls) == 1


def test_blocks_with_different_rotary_specs_do_not_share_angles() -> None:
    other = replace(SPEC, attention=replace(SPEC.attention, position=Rope(500.0, 8)))
    stack = Stack([SPEC, other, SPEC, other], D)
    assert stack.shares_rotation_with == [0, 1, 0, 1]
    x, positions = torch.randn(1, 3, D), consecutive(3)
    expected = x
    for block in stack:
        expected = block(expected, positions)
    assert torch.equal(stack(x, positions), expected)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "mixtral"])
def test_gradient_checkpointing_gives_the_same_gradients(name: str) -> None:
    model, ids = build(DECODERS[name]), torch.tensor([[1, 2, 3, 4]])
    gradients = []
    for is_on in (False, True):
        model.blocks.gradient_checkpointing = is_on
        model.zero_grad()
        model(ids).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)
