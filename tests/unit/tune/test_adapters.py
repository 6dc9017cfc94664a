"""Adapters begin as the model, train only what they name, and merge without changing an output."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zeropoint.errors import BadInput
from zeropoint.models.build import weights_of
from zeropoint.models.decoder import Decoder
from zeropoint.tune.adapted_linear import merge, merged_weights, unmerge
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.bottleneck import Bottleneck
from zeropoint.tune.adapters.dora import Dora
from zeropoint.tune.adapters.freeze import Freeze
from zeropoint.tune.adapters.ia3 import Ia3
from zeropoint.tune.adapters.lora import Lora
from zeropoint.tune.adapters.p_tuning import PTuning
from zeropoint.tune.adapters.prefix import PrefixTuning
from zeropoint.tune.adapters.prompt import PromptTuning
from zeropoint.tune.peft_layout import load_adapter, save_adapter

LINEAR: list[Adapter] = [Lora(rank=4), Dora(rank=4), Ia3(), Bottleneck(width=4)]
VIRTUAL: list[Adapter] = [PrefixTuning(5), PromptTuning(5), PTuning(5, 8)]
MERGEABLE: list[Adapter] = [Lora(rank=4, is_rank_stabilised=True), Dora(rank=4), Ia3()]


def name(adapter: Adapter) -> str:
    return type(adapter).__name__


def trained(model: Decoder) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def disturb(model: Decoder) -> None:
    generator = torch.Generator().manual_seed(5)
    for p in trained(model).values():
        p.add_(0.2 * torch.randn(p.shape, generator=generator))


@pytest.mark.parametrize("adapter", LINEAR, ids=name)
def test_a_new_adapter_changes_nothing(adapter: Adapter, model: Decoder, ids_BT: torch.Tensor) -> None:
    before = model(ids_BT)
    names = set(weights_of(model))
    adapter.attach(model)
    assert torch.allclose(model(ids_BT), before, atol=1e-5)
    assert names < set(weights_of(model))
    assert not names & trained(model).keys()


@pytest.mark.parametrize("adapter", [*LINEAR, *VIRTUAL], ids=name)
def test_gradients_reach_what_is_trained_and_nothing_else(
    adapter: Adapter, model: Decoder, ids_BT: torch.Tensor
) -> None:
    adapter.attach(model)
    disturb(model)
    model.train()
    output = model(ids_BT)
    assert output.shape == (3, 9, 61)
    output.square().mean().backward()
    with_gradient = {n for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert with_gradient == trained(model).keys() != set()


@pytest.mark.parametrize("adapter", MERGEABLE, ids=name)
def test_merging_changes_no_output_and_is_undone_exactly(
    adapter: Adapter, model: Decoder, ids_BT: torch.Tensor
) -> None:
    base = {name: array.copy() for name, array in weights_of(model).items()}
    adapter.attach(model)
    disturb(model)
    adapted = model(ids_BT)
    merged = merged_weights(model)
    merge(model)
    merge(model)  # a second time: nothing happens
    assert torch.allclose(model(ids_BT), adapted, atol=1e-4)
    assert all(torch.equal(model.get_parameter(n), weight) for n, weight in merged.items())
    unmerge(model)
    assert all((weights_of(model)[name] == array).all() for name, array in base.items())
    assert torch.equal(model(ids_BT), adapted)


def test_a_bottleneck_cannot_be_merged(model: Decoder) -> None:
    Bottleneck(4).attach(model)
    with pytest.raises(BadInput, match="cannot be merged"):
        merge(model)


def test_scale_and_rates_of_lora(model: Decoder) -> None:
    assert Lora(rank=16, alpha=32).scale == 2
    assert Lora(rank=16, alpha=32, is_rank_stabilised=True).scale == 8
    spec = Lora(rank=2, b_rate_ratio=16)
    spec.attach(model)
    others, bs = spec.parameter_groups(model, 1e-3)
    assert bs["lr"] == pytest.approx(16e-3)
    assert len(others["params"]) == len(bs["params"]) == 14


def test_targets_select_layers(model: Decoder) -> None:
    Lora(rank=2, targets=("query", "ffn.down")).attach(model)
    assert {n.split(".", 2)[2] for n in trained(model)} == {
        f"{layer}.{ab}" for layer in ("attention.query", "ffn.down") for ab in ("lora_a", "lora_b")
    }


def test_freezing_trains_the_last_blocks(model: Decoder) -> None:
    Freeze(1).attach(model)
    assert {n.split(".")[0] + n.split(".")[1] for n in trained(model)} == {"blocks1", "final_normweight"}
    Freeze(-1).attach(model)
    assert all(p.requires_grad for p in model.parameters())


def test_invalid_adapters(model: Decoder) -> None:
    with pytest.raises(BadInput, match=r"no linear layer is called q_proj; choose from all, attention\.key"):
        Lora(targets=("q_proj",)).attach(model)
    with pytest.raises(BadInput, match="the model has 2 blocks"):
        Freeze(3).attach(model)
    Lora(rank=2).attach(model)
    with pytest.raises(BadInput, match="has an adapter already"):
        Ia3().attach(model)


@pytest.mark.parametrize("adapter", VIRTUAL, ids=name)
def test_virtual_tokens_come_before_a_cached_text(
    adapter: Adapter, model: Decoder, ids_BT: torch.Tensor
) -> None:
    adapter.attach(model)
    disturb(model)
    whole = model(ids_BT)
    cache = model.new_cache(20)
    steps = [model(ids_BT[:, :4], cache), model(ids_BT[:, 4:], cache=cache)]
    assert torch.allclose(torch.cat(steps, dim=1), whole, atol=1e-5)
    with pytest.raises(BadInput, match="document_BT"):
        model(ids_BT, document_BT=torch.zeros_like(ids_BT))


@pytest.mark.parametrize("adapter", [*LINEAR, *VIRTUAL, Freeze(1)], ids=name)
def test_a_stored_adapter_gives_the_same_outputs(
    adapter: Adapter, model: Decoder, ids_BT: torch.Tensor, tmp_path: Path
) -> None:
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    adapter.attach(model)
    disturb(model)
    save_adapter(model, adapter, tmp_path / "adapter")
    fresh = _copy_of(model, weights)
    loaded = load_adapter(fresh, tmp_path / "adapter")
    assert torch.allclose(fresh.eval()(ids_BT), model(ids_BT), atol=1e-6)
    if not isinstance(adapter, PTuning):
        assert type(loaded) is type(adapter)


def test_an_adapter_of_another_model_or_rank(model: Decoder, tmp_path: Path) -> None:
    spec = Lora(rank=2)
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    spec.attach(model)
    save_adapter(model, spec, tmp_path / "adapter")
    config = tmp_path / "adapter" / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 2', '"r": 3'))
    with pytest.raises(BadInput, match="of another model or rank"):
        load_adapter(_copy_of(model, weights), tmp_path / "adapter")
    with pytest.raises(BadInput, match=r"has no adapter_config\.json"):
        load_adapter(_copy_of(model, weights), tmp_path)
    config.write_text('{"peft_type": "VERA"}')
    with pytest.raises(BadInput, match="kind of adapter"):
        load_adapter(_copy_of(model, weights), tmp_path / "adapter")


def _copy_of(model: Decoder, weights: dict[str, torch.Tensor]) -> Decoder:
    fresh = Decoder(model.blueprint)
    fresh.load_state_dict(weights, strict=False)
    return fresh.eval()
