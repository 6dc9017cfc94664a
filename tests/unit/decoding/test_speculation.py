"""Drafters, the governor and speculative decoding over a stepper and through the engines."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.support.tiny import write_tiny_model
from zeropoint import load, registry
from zeropoint.decoding.drafter import Draft, Drafter
from zeropoint.decoding.drafters.ngram_cache import NgramCache
from zeropoint.decoding.drafters.prompt_lookup import PromptLookup
from zeropoint.decoding.drafters.suffix_automaton import SuffixAutomaton
from zeropoint.decoding.governor import Governor, PassCosts
from zeropoint.decoding.greedy import greedy
from zeropoint.decoding.speculative import decode
from zeropoint.decoding.speculator import speculator
from zeropoint.errors import BadInput

DRAFTERS = [PromptLookup, NgramCache, SuffixAutomaton]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("speculation") / "tiny.gguf"
    write_tiny_model(path)
    with load(path, threads=1) as model:
        yield model


class Oracle(Drafter):
    """Guesses the given answer, with every n-th token wrong; n = 0 for none."""

    def __init__(self, n_prompt: int, answer: Sequence[int], wrong_every: int = 0) -> None:
        self.answer = [t + 1 if wrong_every and i % wrong_every == 0 else t for i, t in enumerate(answer)]
        self.n_known = -n_prompt

    def extend(self, ids: Sequence[int]) -> None:
        self.n_known += len(ids)

    def propose(self, n: int) -> Draft:
        return Draft(self.answer[self.n_known : self.n_known + n], 16)


@pytest.mark.parametrize("make", DRAFTERS)
def test_a_repeated_text_is_continued_as_before(make: type[Drafter]) -> None:
    drafter = make()
    drafter.extend([1, 2, 3, 4, 5, 6, 7, 9])
    assert not drafter.propose(4).tokens
    drafter.extend([2, 3, 4, 5])
    draft = drafter.propose(2)
    assert list(draft.tokens) == [6, 7]
    assert draft.n_matched == 4


def test_the_cache_guesses_what_followed_most_often() -> None:
    cache = NgramCache()
    cache.extend([1, 2, 3, 9, 1, 2, 4, 8, 1, 2, 3, 7, 1, 2])
    assert list(cache.propose(1).tokens) == [3]


def test_the_automaton_finds_the_longest_repeated_end() -> None:
    """Against a search of all positions, in texts with many repetitions."""
    for seed in range(200):
        numbers = random.Random(seed)
        text = [numbers.randrange(3) for _ in range(40)]
        automaton = SuffixAutomaton()
        for i, token in enumerate(text):
            automaton.extend([token])
            seen = text[: i + 1]
            longest = max(
                n
                for n in range(i + 1)
                if n == 0 or any(seen[s : s + n] == seen[-n:] for s in range(i + 1 - n))
            )
            draft = automaton.propose(4)
            if longest < 2:
                assert not draft.tokens
                continue
            assert draft.n_matched == longest
            places = [s + longest for s in range(i + 1 - longest) if seen[s : s + longest] == seen[-longest:]]
            assert list(draft.tokens) in [seen[place : place + 4] for place in places]


@pytest.mark.parametrize("wrong_every", [0, 1, 3])
def test_speculative_decoding_equals_greedy_decoding(model, wrong_every: int) -> None:
    prompt = [5, 6, 7, 8]
    expected = greedy(model.stepper(), prompt, 24)
    decoded = decode(model.stepper(), Oracle(4, expected, wrong_every), prompt, 24)
    assert decoded.ids == expected
    assert decoded.n_passes == {0: 5, 1: 24, 3: 9}[wrong_every]


@pytest.mark.parametrize("name", ["auto", *registry.names("zeropoint.decoding.drafters")])
@pytest.mark.parametrize("temperature", [0.0, 1.5])
def test_every_method_gives_the_answer_of_plain_decoding(model, name: str, temperature: float) -> None:
    prompt = [5, 6, 7, 8, 9, 5, 6, 7] * 3
    options = {"max_tokens": 40, "temperature": temperature, "seed": 3, "logprobs": True}
    plain = model.generate(prompt, speculate="off", **options)
    plain.text()
    stream = model.generate(prompt, speculate=name.replace("_", "-"), **options)
    stream.text()
    assert stream.token_ids == plain.token_ids
    assert [t.logprob for t in stream.logprobs] == [t.logprob for t in plain.logprobs]
    assert stream.finish_reason == plain.finish_reason


def test_texts_together_give_the_answers_that_they_give_alone(model) -> None:
    prompts = [[5 + i, 6, 7, 5 + i, 6, 7, 5 + i, 6] for i in range(16)]
    alone = [model.generate(p, speculate="off", max_tokens=20, seed=1) for p in prompts]
    expected = [(stream.text(), stream.token_ids) for stream in alone]
    together = [model.generate(p, max_tokens=20, seed=1) for p in prompts]
    assert [(stream.text(), stream.token_ids) for stream in together] == expected


def test_an_unknown_method_is_named(model) -> None:
    with pytest.raises(BadInput, match="prompt-lookup"):
        model.generate("hi", speculate="prompt-lokup")


def costs(first: float, each: float) -> PassCosts:
    measured = PassCosts()
    for n_rows in (1, 2, 3, 5, 9, 17):
        for _ in range(5):
            measured.observe(n_rows, first + each * (n_rows - 1))
    return measured


def test_the_governor_takes_more_guesses_where_rows_are_cheap() -> None:
    draft = Draft(range(16), 20)
    chosen = [Governor(costs(1.0, each)).choose(draft) for each in (0.0, 0.1, 0.3, 1.0)]
    assert chosen[0] == 16
    assert chosen == sorted(chosen, reverse=True)
    assert chosen[-1] == 0


def test_the_governor_stops_guessing_when_guesses_are_wrong_and_tries_again() -> None:
    governor, draft = Governor(costs(1.0, 0.3)), Draft(range(16), 20)
    while (n := governor.choose(draft)) > 0:
        governor.observe(draft, n, 0)
    declined = [governor.choose(draft) for _ in range(200)]
    assert 2 <= sum(n > 0 for n in declined) <= 4  # a probe now and then
    for _ in range(40):
        governor.observe(draft, 2, 2)
    assert governor.choose(draft) > 0


def test_long_pauses_do_not_change_the_costs() -> None:
    measured = costs(1.0, 0.2)
    before = measured.curve(16)[:]
    measured.observe(2, 1000.0)
    for _ in range(40):
        measured.observe(1, 1.0)
    assert measured.curve(16)[2] == pytest.approx(before[2], rel=0.05)


def test_costs_between_and_beyond_measured_rows_lie_on_a_line() -> None:
    curve = costs(1.0, 0.2).curve(40)
    assert curve[4] == pytest.approx(1.6 * curve[1], rel=0.02)
    assert curve[33] == pytest.approx(7.4 * curve[1], rel=0.02)


def test_costs_do_not_depend_on_the_length_of_the_context() -> None:
    measured = costs(1.0, 0.2)
    slower = [1.01**step for step in range(160)]  # as the context grows
    for factor in slower:
        measured.observe(1, factor)
    for _ in range(3):
        measured.observe(3, 1.4 * slower[-1])
    curve = measured.curve(8)
    assert curve[3] == pytest.approx(1.4 * curve[1], rel=0.1)


def test_a_speculator_counts_what_was_accepted() -> None:
    method = speculator("prompt-lookup", [1, 2, 3, 4, 1, 2], costs(1.0, 0.0), no_draft_model)
    assert method is not None
    assert not method.before_step(0)[0]  # the prompt is still to be read
    method.after_step([3], 0, 1.0)
    draft, masks = method.before_step(0)
    assert list(draft) == [4, 1, 2, 3]
    assert masks is None
    method.after_step([4, 1, 9], 5, 1.0)
    assert (method.n_drafted, method.n_accepted) == (4, 2)
    assert speculator("off", [1], costs(1.0, 0.0), no_draft_model) is None


def no_draft_model(name: str) -> Drafter:
    raise AssertionError(name)
