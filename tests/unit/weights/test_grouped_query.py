"""Multi-head to grouped-query attention by mean pooling."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.errors import BadInput
from zeropoint.learn.build_gpt import lecture_blueprint
from zeropoint.models.build import build, load, weights_of
from zeropoint.weights.grouped_query import to_grouped_query


def test_heads_that_are_equal_within_a_group_lose_nothing() -> None:
    blueprint = lecture_blueprint(d_model=32, n_layers=2, n_heads=4, n_ctx=32)
    module = build(blueprint, seed=3)
    weights = {name: array.copy() for name, array in weights_of(module).items()}
    for name, array in weights.items():
        if ".key." in name or ".value." in name:
            heads = array.reshape(4, 8, -1)
            heads[1], heads[3] = heads[0], heads[2]
    load(module, weights)
    grouped, pooled = to_grouped_query(blueprint, weights, 2)
    smaller = build(grouped, seed=None)
    load(smaller, pooled)
    ids = torch.arange(12)[None]
    with torch.no_grad():
        torch.testing.assert_close(smaller(ids), module(ids), rtol=1e-5, atol=1e-5)
    assert all(isinstance(a, Attention) and a.n_kv_heads == 2 for a in grouped.attentions)


def test_a_group_has_the_mean_of_its_heads() -> None:
    blueprint = lecture_blueprint(d_model=32, n_layers=1, n_heads=4, n_ctx=32)
    weights = weights_of(build(blueprint, seed=3))
    _, pooled = to_grouped_query(blueprint, weights, 1)
    name = "blocks.0.attention.key.weight"
    np.testing.assert_allclose(pooled[name], weights[name].reshape(4, 8, 32).mean(0), rtol=1e-6)


@pytest.mark.parametrize("n", [0, 3, 8])
def test_a_number_that_does_not_divide_is_refused(n: int) -> None:
    blueprint = lecture_blueprint(d_model=32, n_layers=1, n_heads=4, n_ctx=32)
    with pytest.raises(BadInput, match="must divide the 4"):
        to_grouped_query(blueprint, {}, n)
