"""The readable methods over a stepper: their answers, and what they count."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.tiny import Tiny, tiny_weights, write_tiny_model
from zeropoint import load
from zeropoint.decoding import lookahead, threshold, without_cache
from zeropoint.decoding.contrastive import contrastive_search
from zeropoint.decoding.greedy import greedy
from zeropoint.engine.torch.engine import TorchEngine
from zeropoint.errors import BadInput
from zeropoint.models.build import build
from zeropoint.models.build import load as load_weights
from zeropoint.weights.open_model import open_model

LAST = "blocks.1.after_ffn"
PROMPT = [5, 6, 7, 8, 9, 10, 11, 12, 13, 14]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("methods") / "tiny.gguf"
    sure = {"output_norm.weight": 5 * tiny_weights(Tiny())["output_norm.weight"]}
    write_tiny_model(path, Tiny(), weights=sure)
    return path


@pytest.fixture(scope="module")
def model(path):
    with load(path, threads=1, exact=True) as model:
        yield model


@pytest.fixture(scope="module")
def torch_engine(path):
    opened = open_model(path)
    module = build(opened.blueprint, seed=None)
    load_weights(module, opened.weights)
    return TorchEngine(module)


def test_without_a_cache_100_tokens_take_5950_rows(model) -> None:
    decoded = without_cache.decode(model.stepper, PROMPT, 100)
    assert decoded.n_rows == 5950
    assert decoded.ids == greedy(model.stepper(), PROMPT, 100)


@pytest.mark.parametrize(("n_window", "n_gram"), [(8, 4), (1, 2), (4, 3)])
def test_lookahead_gives_the_greedy_answer_in_fewer_passes(model, n_window: int, n_gram: int) -> None:
    decoded = lookahead.decode(model.stepper(), PROMPT, 80, n_window=n_window, n_gram=n_gram)
    assert decoded.ids == greedy(model.stepper(), PROMPT, 80)
    assert decoded.n_passes < 80 or n_window == 1
    assert decoded.n_rows > 80


def test_a_threshold_above_one_asks_the_large_model_for_every_token(model) -> None:
    decoded = threshold.decode(model.stepper(), model.stepper(), PROMPT, 20, threshold=1.5)
    assert decoded.ids == greedy(model.stepper(), PROMPT, 20)
    assert decoded.n_passes == 20


def test_a_confident_draft_stands_unverified(model) -> None:
    decoded = threshold.decode(model.stepper(), model.stepper(), PROMPT, 40, threshold=0.5)
    assert decoded.ids == greedy(model.stepper(), PROMPT, 40)  # the draft is the model itself
    assert decoded.n_passes < 30


def test_contrastive_search_is_the_same_in_both_engines(model, torch_engine) -> None:
    found = contrastive_search(model.engine, model.blueprint, PROMPT, 24)
    assert found.ids == contrastive_search(torch_engine, model.blueprint, PROMPT, 24).ids
    plain = contrastive_search(model.engine, model.blueprint, PROMPT, 24, alpha=0)
    assert plain.ids == greedy(model.stepper(), PROMPT, 24)
    assert found.ids != plain.ids


def test_contrastive_search_takes_the_candidate_of_the_definition(model) -> None:
    alpha, k = 0.6, 3
    (token,) = contrastive_search(model.engine, model.blueprint, PROMPT, 1, k=k, alpha=alpha).ids
    logits_V = model.logits(PROMPT)[-1].astype(np.float64)
    p_V = np.exp(logits_V - logits_V.max())
    p_V /= p_V.sum()
    scores = {}
    for candidate in np.argsort(-logits_V)[:k].tolist():
        hidden = model.trace([*PROMPT, candidate], [LAST])[LAST].astype(np.float64)
        cosines = hidden[:-1] @ hidden[-1] / np.linalg.norm(hidden[:-1], axis=1) / np.linalg.norm(hidden[-1])
        scores[candidate] = (1 - alpha) * p_V[candidate] - alpha * cosines.max()
    assert token == max(scores, key=scores.__getitem__)


def test_contrastive_search_names_bad_options(model) -> None:
    with pytest.raises(BadInput, match="alpha from 0 to 1"):
        contrastive_search(model.engine, model.blueprint, PROMPT, 1, alpha=2)
