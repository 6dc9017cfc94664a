"""Every catalog blueprint as a torch module in full size, on the meta device, which allocates nothing."""

from __future__ import annotations

import pytest
import torch

from zeropoint.blueprint import catalog
from zeropoint.blueprint.tensors import parameters
from zeropoint.models.build import build


@pytest.mark.heavy
@pytest.mark.parametrize("name", catalog.names())
def test_parameters_match_the_blueprint(name: str) -> None:
    blueprint = catalog.load(name)
    with torch.device("meta"):
        module = build(blueprint, seed=None)
    assert {n: tuple(p.shape) for n, p in module.named_parameters()} == parameters(blueprint)
