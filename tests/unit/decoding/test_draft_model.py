"""Draft models: answers stay the same, guesses of an equal model are right, and their cost is counted."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.support.tiny import Tiny, tiny_weights, write_tiny_model
from zeropoint import load
from zeropoint.decoding.draft_model import DraftModel
from zeropoint.decoding.governor import Governor, PassCosts
from zeropoint.decoding.greedy import greedy
from zeropoint.decoding.speculative import decode
from zeropoint.engine.session.draft_models import choice_of
from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams

PROMPT = [5, 6, 7, 8, 9, 5, 6, 7] * 3


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drafts")
    for name, tiny in {"large": Tiny(n_layers=3), "small": Tiny(n_layers=1)}.items():
        sure = {"output_norm.weight": 5 * tiny_weights(tiny)["output_norm.weight"]}  # random ones are unsure
        write_tiny_model(folder / f"{name}.gguf", tiny, weights=sure)
    return folder


@pytest.fixture(scope="module")
def model(paths):
    with load(paths / "large.gguf", threads=1) as model:
        model.streams.pass_costs = FreeRows()
        yield model


class FreeRows(PassCosts):
    """Further rows cost nothing, so that the governor verifies whatever is likely enough."""

    def observe(self, n_rows: int, seconds: float) -> None:
        pass

    def curve(self, n_rows: int) -> list[float]:
        return [1.0] * (n_rows + 1)


def greedy_choice(logits_V, text) -> int:
    return int(np.argmax(logits_V))


@pytest.mark.parametrize("method", ["first-layers=1", "first-layers=2", "small", "large"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_draft_model_changes_no_answer(model, paths, method: str, temperature: float) -> None:
    speculate = f"draft={paths / method}.gguf" if "=" not in method else method
    options = {"max_tokens": 60, "temperature": temperature, "seed": 3}
    plain = model.generate(PROMPT, speculate="off", **options)
    plain.text()
    stream = model.generate(PROMPT, speculate=speculate, **options)
    stream.text()
    assert stream.token_ids == plain.token_ids
    assert stream.method.n_drafted > 0


@pytest.mark.parametrize("second_stage", [False, True])
def test_an_equal_model_guesses_right_greedy_and_sampled(model, second_stage: bool) -> None:
    for params in (SamplingParams.of(temperature=0), SamplingParams.of(temperature=0.3, seed=8)):
        choose = choice_of(params)
        expected = greedy(model.stepper(), PROMPT, 30) if params.seed is None else None
        drafter = DraftModel(model.stepper(), choose, second_stage=second_stage)
        decoded = decode(
            model.stepper(), drafter, PROMPT, 30, choose=lambda row, at, choose=choose: choose(row, [0] * at)
        )
        if expected is not None:
            assert decoded.ids == expected
        assert len(decoded.ids) == 30
        assert decoded.n_passes <= 15  # five tokens a pass, less where the model itself is unsure


def test_a_draft_ends_where_the_model_is_unsure(model) -> None:
    drafter = DraftModel(model.stepper(), lambda logits_V, text: int(np.argmin(logits_V)))
    drafter.extend(PROMPT)
    assert not drafter.propose(8).tokens


def test_wrong_guesses_are_forgotten(model) -> None:
    """After any continuation, the guesses are those of a drafter that read it at once."""
    numbers = random.Random(2)
    drafter, text = DraftModel(model.stepper(), greedy_choice), list(PROMPT)
    drafter.extend(text)
    for _ in range(12):
        guesses = list(drafter.propose(4).tokens)
        more = [*guesses[: numbers.randrange(5)], *([numbers.randrange(250)] * numbers.randrange(2))] or [9]
        text += more
        drafter.extend(more)
        fresh = DraftModel(model.stepper(), greedy_choice)
        fresh.extend(text)
        assert drafter.propose(3).tokens == fresh.propose(3).tokens


def test_a_long_text_is_read_in_parts(model) -> None:
    model_text = [numbers % 200 + 5 for numbers in range(240)]
    drafter = DraftModel(model.stepper(), greedy_choice)
    drafter.extend(model_text * 1)
    drafter.propose(2)
    drafter.extend([7] * 300)  # beyond the context of 256 tokens
    assert not drafter.propose(2).tokens


def test_a_draft_that_does_not_exist_is_refused(model) -> None:
    with pytest.raises(BadInput, match="first-layers must be 1 to 2"):
        model.generate(PROMPT, speculate="first-layers=3")
    with pytest.raises(BadInput, match="first-layers must be"):
        model.generate(PROMPT, speculate="first-layers=x")
    with pytest.raises(BadInput, match="nowhere"):
        model.generate(PROMPT, speculate="draft=./nowhere.gguf")


def test_the_governor_counts_what_guesses_cost() -> None:
    costs = PassCosts()
    for n_rows in (1, 2, 3, 5, 9, 17):
        for _ in range(5):
            costs.observe(n_rows, 1.0 + 0.02 * (n_rows - 1))
    assert Governor(costs).n_to_draft(0, 0.05) >= 3
    assert Governor(costs).n_to_draft(0, 0.9) == 0


def test_sampling_keeps_the_distribution(paths) -> None:
    """Second tokens of 3,000 answers, with guesses for the first, against their exact probabilities.

    The sum of (observed - expected)^2 / expected over bins is chi-square distributed; its 99.99 % quantile
    for 19 degrees of freedom is 50.8.
    """
    from zeropoint.engine.contract import Request

    with load(paths / "large.gguf", threads=1) as model:
        steps = {"temperature": 2}
        first_V = probabilities(model.logits(PROMPT)[-1] / 2)
        likely = np.argsort(-first_V)[:60]
        exact_V = np.zeros_like(first_V)
        for token in range(len(first_V)):
            if first_V[token] > 1e-7:
                exact_V += first_V[token] * probabilities(model.logits([*PROMPT, token])[-1] / 2)
        counts_V, n = np.zeros(len(exact_V)), 3000
        for seed in range(n):
            params = SamplingParams.of(max_tokens=2, seed=seed, **steps)
            request = model.engine.submit(Request(PROMPT, params))
            ids: list[int] = []
            while len(ids) < 2:
                model.engine.steer(request, [int(likely[seed % 2])] if not ids else [])
                ids += [event.token for event in model.engine.step() if event.token is not None]
            counts_V[ids[1]] += 1
    order = np.argsort(-exact_V)
    bins = np.array_split(order, 20)
    expected = np.array([exact_V[part].sum() for part in bins]) * n
    observed = np.array([counts_V[part].sum() for part in bins])
    keep = expected > 5
    assert keep.sum() >= 5
    chi_square = ((observed - expected)[keep] ** 2 / expected[keep]).sum()
    assert chi_square < 50.8


def probabilities(logits_V) -> np.ndarray:
    weights = np.exp(logits_V.astype(np.float64) - logits_V.max())
    return weights / weights.sum()


@pytest.mark.heavy
@pytest.mark.parametrize("n_together", [1, 4, 16])
def test_200_prompts_give_their_plain_greedy_answers(model, n_together: int) -> None:
    numbers = random.Random(n_together)
    prompts = []
    for _ in range(208):
        phrase = [numbers.randrange(5, 250) for _ in range(numbers.randrange(2, 9))]
        prompts.append((phrase * 6)[: numbers.randrange(4, 40)])
    methods = ["auto", "prompt-lookup", "ngram-cache", "first-layers=1"]
    plain = [model.generate(p, max_tokens=24, temperature=0, speculate="off") for p in prompts]
    expected = [(stream.text(), stream.token_ids) for stream in plain]
    n_drafted = 0
    for start in range(0, len(prompts), n_together):
        streams = [
            model.generate(p, max_tokens=24, temperature=0, speculate=methods[(start + i) % 4])
            for i, p in enumerate(prompts[start : start + n_together])
        ]
        found = [(stream.text(), stream.token_ids) for stream in streams]
        assert found == expected[start : start + n_together]
        n_drafted += sum(stream.method.n_drafted for stream in streams)
    assert n_drafted > 100
