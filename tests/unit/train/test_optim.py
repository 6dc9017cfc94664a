"""Optimizers, EMA, gradient clipping and gradient diagnostics."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.support.tiny_blueprints import DECODERS
from zeropoint.blueprint import catalog
from zeropoint.models.build import build
from zeropoint.train.averaging.ema import EMA
from zeropoint.train.loop.gradient_clipping import clip_gradients
from zeropoint.train.loop.gradients import first_nonfinite, largest_gradient, near_zero_fractions
from zeropoint.train.optim._decay_groups import decay_groups
from zeropoint.train.optim.adamw import AdamW
from zeropoint.train.optim.muon import Muon, orthogonalize


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build(catalog.load("tiny-gpt"))


def test_only_matrices_decay(model: nn.Module) -> None:
    decayed, free = decay_groups(model.named_parameters(), 0.1)
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert {p.dim() for p in decayed["params"]} == {2}
    assert {p.dim() for p in free["params"]} == {1}
    assert len(decayed["params"]) + len(free["params"]) == len(list(model.parameters()))


def test_stacked_biases_of_experts_are_no_matrices() -> None:
    model = build(DECODERS["gpt-oss"])
    biases = {id(p) for name, p in model.named_parameters() if name.endswith("bias")}
    _, free = decay_groups(model.named_parameters(), 0.1)
    assert biases <= {id(p) for p in free["params"]}
    muon = Muon().build(model).parts[0]  # type: ignore[attr-defined]
    assert not biases & {id(p) for group in muon.param_groups for p in group["params"]}
    assert not any(p.any() for p in model.parameters() if id(p) in biases)


def test_the_first_step_of_adamw(model: nn.Module) -> None:
    """It is the sign of the gradient times the learning rate, plus weight decay."""
    line = nn.Linear(2, 2)
    before = line.weight.detach().clone()
    optimizer = AdamW(learning_rate=0.1, weight_decay=0.5, eps=1e-12).build(line)
    line(torch.ones(2)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(line.weight.detach(), before * (1 - 0.1 * 0.5) - 0.1)


@pytest.mark.parametrize("shape", [(8, 8), (16, 4), (4, 16), (3, 8, 4)])
def test_orthogonalize_is_close_to_u_vt(shape: tuple[int, ...]) -> None:
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonalize(drawn))
    assert values.min() > 0.6
    assert values.max() < 1.3
    u, _, vh = torch.linalg.svd(drawn, full_matrices=False)
    torch.testing.assert_close(orthogonalize(drawn), u @ vh, atol=0.35, rtol=0)


def test_muon_updates_matrices_of_blocks_and_adamw_the_rest(model: nn.Module) -> None:
    optimizer = Muon().build(model)
    hidden, *others = optimizer.param_groups
    named = {id(p): name for name, p in model.named_parameters()}
    assert {named[id(p)].rpartition(".")[0].rpartition(".")[2] for p in hidden["params"]} == {
        "query", "key", "value", "output", "up", "down",
    }  # fmt: skip
    assert {named[id(p)] for group in others for p in group["params"]} >= {
        "embedding.weight",
        "final_norm.weight",
    }
    assert hidden["lr"] == 0.02
    assert {group["lr"] for group in others} == {3e-3}
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(named)


def test_the_update_of_muon_scales_with_its_learning_rate(model: nn.Module) -> None:
    drawn = torch.Generator().manual_seed(0)
    hidden = nn.ModuleDict({"blocks": nn.Linear(8, 16, bias=False)})
    (matrix,) = hidden.parameters()
    before = matrix.detach().clone()
    matrix.grad = torch.randn(16, 8, generator=drawn)
    Muon(learning_rate=0.5).build(hidden).step()
    update = torch.linalg.svdvals(matrix.detach() - before)
    torch.testing.assert_close(update, torch.full((8,), 0.5 * 2**0.5), atol=0.25, rtol=0)


def test_ema_averages_and_applies_to_the_model() -> None:
    line = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(line.weight)
    ema = EMA(line, 0.5)
    nn.init.ones_(line.weight)
    ema.update(line, 1000)
    assert ema.average["weight"].item() == 0.5
    with ema.applied_to(line):
        assert line.weight.item() == 0.5
    assert line.weight.item() == 1
    early = EMA(line, 0.999)
    nn.init.zeros_(line.weight)
    early.update(line, 1)  # early steps use a smaller decay
    assert early.average["weight"].item() == pytest.approx(2 / 11)


def test_gradient_clipping_limits_and_returns_the_norm() -> None:
    line = nn.Linear(2, 1, bias=False)
    line.weight.grad = torch.tensor([[3.0, 4.0]])
    assert clip_gradients(line.parameters(), None) == 5
    assert clip_gradients(line.parameters(), 10) == 5
    assert clip_gradients(line.parameters(), 1) == 5
    torch.testing.assert_close(line.weight.grad, torch.tensor([[0.6, 0.8]]))
    assert clip_gradients(nn.Linear(1, 1).parameters(), 1) == 0


def test_fractions_of_near_zero_gradients() -> None:
    line = nn.Linear(4, 1)
    line.weight.grad = torch.tensor([[0.0, 1e-4, 1e-2, 1.0]])
    line.bias.grad = torch.zeros(1)
    assert near_zero_fractions(line, 1e-3) == {"weight": 0.5, "bias": 1.0}


def test_the_source_of_a_nan_is_named() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1))

    def compute() -> torch.Tensor:
        return model(torch.ones(1, 1))

    assert first_nonfinite(model, compute) == "the loss itself"
    model[1].weight.grad = torch.tensor([[float("nan")]])
    assert first_nonfinite(model, compute) == "the gradient of 1.weight"
    handle = model[1].register_forward_hook(lambda module, args, output: output / 0)
    assert first_nonfinite(model, compute) == "the output of 1"
    handle.remove()
    nn.init.constant_(model[0].bias, float("inf"))
    assert first_nonfinite(model, compute) == "the weight 0.bias"


def test_the_largest_gradient_is_relative_to_the_weights() -> None:
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    for layer, weight, gradient in zip(model, (10.0, 1.0), (20.0, 3.0), strict=True):
        nn.init.constant_(layer.weight, weight)
        layer.weight.grad = torch.tensor([[gradient]])
    assert largest_gradient(model) == "1.weight"
