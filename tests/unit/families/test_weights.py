"""Weights survive a file of each kind: ours to stored tensors and back, for every family."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.families.configs import SMALL
from zeropoint import families
from zeropoint.blueprint.tensors import parameters
from zeropoint.weights.mapping import LazyTensor, from_stored, to_stored


class File:
    """Stored tensors in memory."""

    name = "toy"

    def __init__(self, lazy):
        self.tensors = {name: SimpleNamespace(shape=t.shape, format="F32") for name, t in lazy.items()}
        self.arrays = {name: np.ascontiguousarray(tensor.read()) for name, tensor in lazy.items()}
        for name, array in self.arrays.items():
            assert array.shape == lazy[name].shape, name

    def array(self, name):
        return self.arrays[name]


@pytest.mark.parametrize("kind", ["hf", "gguf"])
@pytest.mark.parametrize("name", SMALL)
def test_weights_come_back(name, kind):
    blueprint = families.for_hf(SMALL[name]).from_hf(SMALL[name])
    if kind == "gguf" and blueprint.family == "bert":
        pytest.skip("a GGUF file of BERT has no head")
    shapes, rng = parameters(blueprint), np.random.default_rng(0)
    ours = {key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}
    lazy = {key: LazyTensor(array.shape, "F32", array.copy) for key, array in ours.items()}
    sources = families.for_blueprint(blueprint).tensor_map(blueprint, kind)
    again = from_stored(File(to_stored(lazy, sources)), sources, shapes)
    for key, array in ours.items():
        np.testing.assert_allclose(again[key], array, rtol=1e-5, atol=1e-6, err_msg=key)
