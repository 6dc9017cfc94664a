"""The conventions of Stanford's CS336, assignment 1, hold for our layers and training parts.

Each test computes the same thing with torch's own functions or from the formula in the assignment ("CS336:
Language Modeling from Scratch", assignment 1, 2025), on random inputs.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint import Block as BlockSpec
from zeropoint.blueprint import Embedding as EmbeddingSpec
from zeropoint.blueprint import Head as HeadSpec
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated as GatedSpec
from zeropoint.blueprint.parts.norm import RMSNorm as RMSNormSpec
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.spec import Blueprint
from zeropoint.data.batches import RandomWindows
from zeropoint.layers.attention.scaled_dot_product import naive_attention, sdpa
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.embedding import Embedding
from zeropoint.layers.ffn.gated import Gated
from zeropoint.layers.head import Head
from zeropoint.layers.loss import cross_entropy, softmax
from zeropoint.layers.norm import norm
from zeropoint.layers.position.rope import rotary
from zeropoint.models.block import Block
from zeropoint.models.build import build
from zeropoint.train.checkpoints.checkpoint import TrainingState, load, restore, save
from zeropoint.train.loop.gradient_clipping import clip_gradients
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.schedules.cosine import Cosine

D, HEADS, FF, VOCAB, CONTEXT = 32, 4, 64, 50, 16
K = D // HEADS
ROPE = Rope(base=10_000.0, n_rotated=K, is_interleaved=True)
NORM = RMSNormSpec(eps=1e-5)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(336)


def attention(position: Rope | NoPosition) -> SelfAttention:
    return SelfAttention(Attention(HEADS, HEADS, K, position=position), D)


def rotated(x_BHTK: Tensor) -> Tensor:
    """RoPE from its definition: pair (2i, 2i + 1) as a complex number times e^(i * angle)."""
    pairs = torch.view_as_complex(x_BHTK.unflatten(-1, (-1, 2)).contiguous())
    frequencies = 10_000.0 ** (-torch.arange(0, K, 2) / K)
    angles_TP = torch.arange(x_BHTK.shape[2])[:, None] * frequencies
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles_TP), angles_TP)).flatten(-2)


def expected_attention(layer: SelfAttention, x_BTD: Tensor, has_rope: bool) -> Tensor:
    heads = [
        projection(x_BTD).unflatten(-1, (HEADS, K)).transpose(1, 2)
        for projection in (layer.query, layer.key, layer.value)
    ]
    q, k, v = (rotated(heads[0]), rotated(heads[1]), heads[2]) if has_rope else heads
    context = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    return F.linear(context.transpose(1, 2).flatten(-2), layer.output.weight)


def rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    return F.rms_norm(x, (D,), weight, 1e-5)


def swiglu(layer: Gated, x: Tensor) -> Tensor:
    """W2(SiLU(W1 x) * W3 x): W1 is our gate, W3 is up, W2 is down."""
    return F.linear(F.silu(F.linear(x, layer.gate.weight)) * F.linear(x, layer.up.weight), layer.down.weight)


def expected_block(block: Block, x_BTD: Tensor) -> Tensor:
    """Pre-norm: each sublayer reads the normalized stream and adds its output to the stream."""
    x_BTD = x_BTD + expected_attention(
        block.attention, rms_norm(x_BTD, block.attention_norm.weight), has_rope=True
    )
    return x_BTD + swiglu(block.ffn, rms_norm(x_BTD, block.ffn_norm.weight))


def test_a_linear_layer_without_bias_multiplies_by_a_matrix_of_outputs_by_inputs() -> None:
    head, x = Head(HeadSpec(is_tied=False), VOCAB, D), torch.randn(2, 3, D)
    assert head.weight.shape == (VOCAB, D)
    torch.testing.assert_close(head(x), torch.einsum("vd,btd->btv", head.weight, x))
    assert [name for name, _ in head.named_parameters()] == ["weight"]


def test_an_embedding_looks_up_rows() -> None:
    layer, ids = Embedding(EmbeddingSpec(), VOCAB, D), torch.randint(VOCAB, (2, 5))
    assert torch.equal(layer(ids), layer.weight[ids])


def test_rms_norm_computes_in_float32() -> None:
    layer, x = norm(NORM, D), 3 * torch.randn(2, 5, D)
    nn.init.normal_(layer.weight)
    torch.testing.assert_close(layer(x), rms_norm(x, layer.weight))
    half = (1000 * x).half()  # squares overflow in half precision
    torch.testing.assert_close(layer(half), rms_norm(half.float(), layer.weight).half())


def test_swiglu() -> None:
    layer, x = Gated(GatedSpec(FF), D), torch.randn(2, 5, D)
    torch.testing.assert_close(layer(x), swiglu(layer, x))


def test_rope_rotates_neighbouring_columns() -> None:
    x = torch.randn(2, HEADS, CONTEXT, K)
    torch.testing.assert_close(rotary(ROPE)(torch.arange(CONTEXT)[None])(x), rotated(x))


@pytest.mark.parametrize("function", [naive_attention, sdpa])
def test_attention_scores_are_scaled_and_a_true_mask_lets_through(function: object) -> None:
    q, k, v = torch.randn(3, 2, HEADS, 6, K)
    mask = torch.rand(2, 1, 6, 6) > 0.4
    mask[..., 0] = True
    expected = F.scaled_dot_product_attention(q, k, v, mask)
    torch.testing.assert_close(function(q, k, v, mask, scale=K**-0.5), expected)  # type: ignore[operator]


@pytest.mark.parametrize("position", [NoPosition(), ROPE], ids=["no positions", "rope"])
def test_multi_head_attention_is_causal_with_heads_in_consecutive_rows(position: Rope | NoPosition) -> None:
    layer, x = attention(position), torch.randn(2, 7, D)
    torch.testing.assert_close(layer(x), expected_attention(layer, x, position is ROPE))


def test_a_block_normalizes_before_each_sublayer() -> None:
    block = Block(BlockSpec(Attention(HEADS, HEADS, K, position=ROPE), GatedSpec(FF), NORM), D)
    x = torch.randn(2, 7, D)
    torch.testing.assert_close(block(x), expected_block(block, x))


def test_a_language_model_ends_with_a_norm_and_an_untied_head_and_never_looks_ahead() -> None:
    blocks = (BlockSpec(Attention(HEADS, HEADS, K, position=ROPE), GatedSpec(FF), NORM),) * 2
    blueprint = Blueprint("llama", D, VOCAB, CONTEXT, blocks, NORM, head=HeadSpec(is_tied=False))
    model, ids = build(blueprint), torch.randint(VOCAB, (2, 9))
    x = model.embedding.weight[ids]
    for block in model.blocks:
        x = expected_block(block, x)
    expected = F.linear(rms_norm(x, model.final_norm.weight), model.head.weight)
    torch.testing.assert_close(model(ids), expected)
    torch.testing.assert_close(model(ids[:, :5]), expected[:, :5])


def test_softmax_does_not_change_if_every_score_rises() -> None:
    x = torch.randn(3, 5)
    for dim in (0, 1):
        torch.testing.assert_close(softmax(x + 100, dim), F.softmax(x, dim))


def test_cross_entropy_is_a_mean_that_does_not_overflow() -> None:
    logits, targets = torch.randn(8, 5), torch.randint(5, (8,))
    for scale in (1, 1000):
        torch.testing.assert_close(
            cross_entropy(scale * logits, targets), F.cross_entropy(scale * logits, targets)
        )


def test_gradient_clipping_counts_all_gradients_and_skips_frozen_weights() -> None:
    ours = [nn.Parameter(torch.randn(5, 5)) for _ in range(6)]
    theirs = [nn.Parameter(p.detach().clone()) for p in ours]
    ours[-1].requires_grad_(False)
    theirs[-1].requires_grad_(False)
    for parameters in (ours, theirs):
        torch.cat(parameters).exp().sum().backward()
    norm_before = nn.utils.clip_grad_norm_(theirs, 0.01)
    assert clip_gradients(ours, 0.01) == pytest.approx(float(norm_before))
    for mine, reference in zip(ours[:-1], theirs[:-1], strict=True):
        torch.testing.assert_close(mine.grad, reference.grad)
    assert ours[-1].grad is None


def test_adamw_follows_its_formula() -> None:
    """m, v and the decay as in the assignment (Loshchilov and Hutter, 2017), over several steps."""
    rate, (beta1, beta2), eps, decay = 1e-2, (0.9, 0.999), 1e-8, 0.01
    model = nn.Linear(3, 2, bias=False)
    optimizer = AdamW(rate, (beta1, beta2), eps, decay).build(model)
    w = model.weight.detach().clone()
    m = v = torch.zeros_like(w)
    for step in range(1, 6):
        gradient = torch.randn_like(w)
        model.weight.grad = gradient.clone()
        optimizer.step()
        w = w * (1 - rate * decay)
        m, v = beta1 * m + (1 - beta1) * gradient, beta2 * v + (1 - beta2) * gradient**2
        scaled_rate = rate * math.sqrt(1 - beta2**step) / (1 - beta1**step)
        w = w - scaled_rate * m / (v.sqrt() + eps)
        torch.testing.assert_close(model.weight.detach(), w, rtol=1e-4, atol=1e-6)


def test_the_cosine_schedule_warms_up_decays_and_stays() -> None:
    """The assignment's schedule of iteration t, with warm-up T_w and end T_c, is ours with T_w - 1 steps."""
    peak, lowest, warmup, end = 1.0, 0.1, 7, 21
    schedule = Cosine(warmup_steps=warmup - 1, min_lr_ratio=lowest / peak, decay_steps=end)
    for t in range(1, 25):
        angle = math.pi * (t - warmup) / (end - warmup)
        cosine = lowest + 0.5 * (1 + math.cos(angle)) * (peak - lowest)
        expected = t / warmup * peak if t < warmup else cosine if t <= end else lowest
        assert peak * schedule(t) == pytest.approx(expected), t


def test_targets_are_the_next_tokens_and_every_start_is_equally_likely() -> None:
    windows = RandomWindows(np.arange(100, dtype=np.uint16), 7, 32, seed=1)
    counts = np.zeros(100)
    for step in range(1000):
        ids_BT, targets_BT = windows.batch(step)
        assert ids_BT.shape == targets_BT.shape == (32, 7)
        assert np.array_equal(targets_BT, ids_BT + 1)
        np.add.at(counts, ids_BT[:, 0], 1)
    assert counts[93:].sum() == 0  # the last start leaves room for the last target
    mean, spread = 32_000 / 93, math.sqrt(32_000 / 93 * 92 / 93)
    assert np.abs(counts[:93] - mean).max() < 5 * spread


def test_a_checkpoint_restores_weights_and_optimizer(tmp_path: Path) -> None:
    def trained(n_steps: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(n_steps):
            optimizer.zero_grad()
            model(torch.ones(4, D)).square().sum().backward()
            optimizer.step()

    first = Gated(GatedSpec(FF), D)
    optimizer = AdamW().build(first)
    trained(3, first, optimizer)
    (tmp_path / "checkpoints").mkdir()
    path = save(tmp_path, TrainingState(3, 12, 1, "0" * 64), first, optimizer)

    second = Gated(GatedSpec(FF), D)
    second_optimizer = AdamW().build(second)
    saved = load(path)
    restore(saved, second, second_optimizer)
    assert saved.state.step == 3
    for model, its_optimizer in ((first, optimizer), (second, second_optimizer)):
        trained(2, model, its_optimizer)
    for (name, mine), theirs in zip(second.named_parameters(), first.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
