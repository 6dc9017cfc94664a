"""Embeddings are the pooled hidden states of the torch model, after its final norm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import zeropoint
from tests.support.tiny import write_tiny_model
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.errors import BadInput
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.weights.open_model import open_model

pytestmark = pytest.mark.model


def test_embeddings_are_the_states_of_the_torch_model(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path)
    ids = list(range(40, 70))
    opened = open_model(path)
    module = build(opened.blueprint, seed=None)
    load(module, opened.weights)
    assert isinstance(module, Decoder)
    reference = TorchEngine(module).trace(ids, ["final_norm"])["final_norm"]
    with zeropoint.load(path, threads=1, exact=True) as model:
        mean = model.embed([ids], normalize=False)[0]
        last = model.embed([ids], pooling="last")[0]
        for wrong in ([""], [[]]):
            with pytest.raises(BadInput, match="text 1 is empty"):
                model.embed(wrong)
        with pytest.raises(BadInput, match="unknown pooling `max`"):
            model.embed("x", pooling="max")
    assert np.allclose(mean, reference.mean(axis=0), atol=2e-5)
    assert np.allclose(last, reference[-1] / np.linalg.norm(reference[-1]), atol=2e-5)
