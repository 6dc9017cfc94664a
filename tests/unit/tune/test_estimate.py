"""The estimate counts what is stored, and measuring leaves no gradients behind."""

from __future__ import annotations

import pytest
import torch

from zeropoint.errors import OutOfMemory
from zeropoint.models.decoder import Decoder
from zeropoint.tune import run
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.estimate import Estimate, memory_bytes, seconds_per_part


def test_memory_grows_with_weights_trained_weights_and_tokens(model: Decoder) -> None:
    full = memory_bytes(model, model.blueprint, 100)
    n_weights = sum(p.numel() for p in model.parameters())
    model.requires_grad_(False)
    frozen = memory_bytes(model, model.blueprint, 100)
    assert full - frozen == 12 * n_weights
    logits = 3 * model.blueprint.n_vocab
    assert memory_bytes(model, model.blueprint, 200) - frozen > 4 * 100 * logits


def test_measuring_changes_nothing(model: Decoder, ids_BT: torch.Tensor) -> None:
    Lora(rank=2).attach(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert seconds_per_part(model, lambda: model(ids_BT).square().mean()) > 0
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_too_little_memory_is_refused_before_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "available_memory_bytes", lambda: 10**9)
    run._check_memory(Estimate(1.0, 1.2e9, 1, 10, 10**8))  # 0.4 GB of it are weights, in memory already
    with pytest.raises(OutOfMemory, match=r"about 1\.1 GB more memory and 1\.0 GB is free"):
        run._check_memory(Estimate(1.0, 1.5e9, 1, 10, 10**8))
