"""A tiny Llama that tests adapt."""

from __future__ import annotations

import pytest
import torch

from tests.support.tiny_blueprints import DECODERS
from zeropoint.models.build import build
from zeropoint.models.decoder import Decoder


@pytest.fixture
def model() -> Decoder:
    module = build(DECODERS["llama"], seed=3)
    if not isinstance(module, Decoder):
        raise TypeError(type(module))
    return module.eval()


@pytest.fixture(name="ids_BT")
def example_ids() -> torch.Tensor:
    return torch.randint(0, 61, (3, 9), generator=torch.Generator().manual_seed(1))
