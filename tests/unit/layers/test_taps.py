"""Observers and interventions act on a copy of a module and leave the module itself alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.ffn import Gated as GatedSpec
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.layers.ffn.gated import Gated
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import Taps, intervene, observe, record, renamed

D = 8


def test_layer_without_taps_records_nothing_and_returns_its_input() -> None:
    x = torch.randn(2)
    record(None, x=x)
    assert intervene(None, "x", x) is x


def test_record_skips_absent_intermediates_and_prefixes_the_path() -> None:
    recorded: dict[str, Tensor] = {}
    x = torch.randn(2)
    record(Taps(recorded.__setitem__, path="blocks.3"), x=x, y=None)
    assert list(recorded) == ["blocks.3.x"]


def test_observed_copy_shares_weights_and_leaves_the_module_unchanged() -> None:
    module = nn.Sequential(norm(RMSNorm(1e-5), D), Gated(GatedSpec(12), D))
    recorded: dict[str, Tensor] = {}
    observed, x = observe(module, recorded.__setitem__), torch.randn(1, 3, D)
    torch.testing.assert_close(observed(x), module(x))
    assert set(recorded) == {"0", "1.gate", "1.up", "1.hidden", "1.output"}
    assert all(a is b for a, b in zip(module.parameters(), observed.parameters(), strict=True))
    recorded.clear()
    module(x)
    assert recorded == {}
    observed.eval()
    assert module.training


def test_intervention_changes_what_follows_and_is_recorded() -> None:
    module, recorded, x = Gated(GatedSpec(12), D), dict[str, Tensor](), torch.randn(1, 3, D)
    observed = observe(module, recorded.__setitem__, {"hidden": torch.zeros_like})
    assert (observed(x) == 0).all()
    assert (recorded["hidden"] == 0).all()
    assert (module(x) != 0).any()


def test_two_observers_of_one_module_do_not_meet() -> None:
    module, x = Gated(GatedSpec(12), D), torch.randn(1, 3, D)
    first, second = dict[str, Tensor](), dict[str, Tensor]()
    observed = observe(module, first.__setitem__)
    observe(module, second.__setitem__)
    observed(x)
    assert first
    assert not second


def test_renamed_module_reports_under_another_path() -> None:
    module, recorded = Gated(GatedSpec(12), D), dict[str, Tensor]()
    assert renamed(module, "other") is module
    renamed(observe(module, recorded.__setitem__), "other")(torch.randn(1, 3, D))
    assert set(recorded) == {"other.gate", "other.up", "other.hidden", "other.output"}
