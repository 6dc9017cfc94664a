"""The causality check: leaks of future tokens are found, and the leaking module is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.support.tiny_blueprints import DECODERS, ENCODERS, SEQ2SEQS
from zeropoint.errors import BadInput, MachineError
from zeropoint.models.build import build
from zeropoint.train.run.causality import check_causality

V, D, T = 11, 16, 12


class Mixer(nn.Module):
    """Uniform attention without projections; `added` is added to the scores."""

    def __init__(self, added: Tensor) -> None:
        super().__init__()
        self.added = added

    def forward(self, x_BTD: Tensor) -> Tensor:
        return torch.softmax(x_BTD @ x_BTD.transpose(1, 2) / D + self.added, dim=-1) @ x_BTD


class WindowNorm(nn.Module):
    """A norm over the complete window, future included."""

    def forward(self, x_BTD: Tensor) -> Tensor:
        return x_BTD / x_BTD.square().mean((1, 2), keepdim=True).sqrt()


class Convolution(nn.Module):
    """A convolution of width 3; padded on both sides, it reaches one token ahead."""

    def __init__(self, *, is_causal: bool) -> None:
        super().__init__()
        self.cut = 2 if is_causal else 1
        self.convolution = nn.Conv1d(D, D, 3, padding=self.cut)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.convolution(x_BTD.transpose(1, 2)).transpose(1, 2)[:, : x_BTD.shape[1]]


class BatchNorm(nn.Module):
    """Batch norm over batch and tokens, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(D)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.norm(x_BTD.transpose(1, 2)).transpose(1, 2)


class Model(nn.Module):
    """An embedding, modules between linear layers, and a head."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D)
        self.first = nn.Linear(D, D)
        self.parts = nn.ModuleList(parts)
        self.head = nn.Linear(D, V)

    def forward(self, ids_BT: Tensor) -> Tensor:
        x_BTD = self.first(self.embedding(ids_BT))
        for part in self.parts:
            x_BTD = x_BTD + part(x_BTD)
        return self.head(x_BTD)


CAUSAL = torch.full((T, T), -torch.inf).triu(1)


def test_a_causal_mask_passes() -> None:
    assert check_causality(Model(Mixer(CAUSAL), nn.LayerNorm(D), Convolution(is_causal=True)), V, T) is None


@pytest.mark.parametrize(
    ("fault", "name", "kind"),
    [
        (lambda: Mixer(torch.zeros(T, T)), "parts.1", "Mixer"),
        (lambda: Mixer(torch.ones(T, T).tril()), "parts.1", "Mixer"),
        (WindowNorm, "parts.1", "WindowNorm"),
        (lambda: Convolution(is_causal=False), "parts.1.convolution", "Conv1d"),
        (BatchNorm, "parts.1.norm", "BatchNorm1d"),
    ],
)
def test_the_leaking_module_is_named(fault: type[nn.Module], name: str, kind: str) -> None:
    leak = check_causality(Model(Mixer(CAUSAL), fault(), Mixer(torch.zeros(T, T))), V, T)
    assert leak is not None
    assert (leak.module, leak.kind) == (name, kind)
    assert leak.change > 1e-4
    assert leak.position < leak.token
    assert leak.module in str(leak)


def test_a_second_leak_is_named_too() -> None:
    leak = check_causality(Model(WindowNorm(), Mixer(CAUSAL), Mixer(torch.zeros(T, T)), WindowNorm()), V, T)
    assert leak is not None
    assert (leak.module, leak.others) == ("parts.0", ("parts.2", "parts.3"))


def test_a_leak_outside_submodules_names_the_model() -> None:
    class Reversed(Model):
        def forward(self, ids_BT: Tensor) -> Tensor:
            return super().forward(ids_BT).flip(1)

    leak = check_causality(Reversed(), V, T)
    assert leak is not None
    assert leak.module == leak.kind == "Reversed"


def test_a_leak_at_a_single_position_is_found() -> None:
    almost = CAUSAL.clone()
    almost[4, 5] = 0.0
    leak = check_causality(Model(Mixer(almost)), V, T)
    assert leak is not None
    assert (leak.position, leak.token) == (4, 5)


def test_a_leak_behind_zero_weights_is_found() -> None:
    model = Model(nn.Sequential(Mixer(torch.zeros(T, T)), nn.Linear(D, D)))
    for weight in (*model.parts.parameters(), *model.head.parameters()):
        nn.init.zeros_(weight)
    assert check_causality(model, V, T) is not None
    assert not model.head.weight.any()


def test_the_model_and_the_random_generator_stay_unchanged() -> None:
    model = Model(BatchNorm(), nn.Dropout(0.5)).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check_causality(model, V, T)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert not model.training
    assert not model._forward_hooks


@pytest.mark.parametrize("name", DECODERS)
def test_every_decoder_is_causal(name: str) -> None:
    blueprint = DECODERS[name]
    model = build(blueprint, dropout=0.1, attention_dropout=0.1)
    assert check_causality(model, blueprint.n_vocab, blueprint.n_ctx) is None


@pytest.mark.parametrize("name", SEQ2SEQS)
def test_every_encoder_decoder_is_causal_in_its_target(name: str) -> None:
    blueprint, source_BS = SEQ2SEQS[name], torch.tensor([[5, 3, 8, 1, 9]])
    model = build(blueprint, dropout=0.1, attention_dropout=0.1)
    assert check_causality(model, blueprint.n_vocab, blueprint.n_ctx, source_BS=source_BS) is None


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoder_is_reported_at_its_first_attention(name: str) -> None:
    blueprint = ENCODERS[name]
    leak = check_causality(build(blueprint), blueprint.n_vocab, blueprint.n_ctx)
    assert leak is not None
    assert leak.module == "blocks.0.attention"


def test_too_few_tokens_and_nan_logits_are_refused() -> None:
    with pytest.raises(BadInput, match="causality cannot be checked"):
        check_causality(Model(), V, 1)
    model = Model()
    nn.init.constant_(model.head.weight, torch.nan)
    with pytest.raises(MachineError, match="not finite"):
        check_causality(model, V, T)
