"""A guide that begins at a marker: free text before and after it, the grammar in between."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tests.support.tiny import write_tiny_model
from zeropoint import load
from zeropoint.decoding.drafter import Draft, Drafter
from zeropoint.decoding.governor import Governor, PassCosts
from zeropoint.decoding.guidance.guide import Guide
from zeropoint.decoding.guidance.triggered import Triggered
from zeropoint.decoding.speculator import Speculator

pytest.importorskip("llguidance")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("triggered") / "tiny.gguf"
    write_tiny_model(path)
    with load(path, threads=1) as model:
        yield model


class Fixed(Drafter):
    """Always guesses the same tokens."""

    def __init__(self, ids: Sequence[int]) -> None:
        self.ids = ids

    def extend(self, ids: Sequence[int]) -> None:
        pass

    def propose(self, n: int) -> Draft:
        return Draft(self.ids[:n], 20)


def method(model, grammar: str, inner=None) -> Triggered:
    return Triggered(model.guide_tokenizer, Guide("lark", grammar, "<t>"), model.tokenizer, inner)


def allowed(model, masks) -> set[str]:
    bits = np.unpackbits(masks[-1].view(np.uint8), bitorder="little")[: model.engine.n_vocab]
    return {model.detokenize([int(i)]) for i in np.flatnonzero(bits)}


def write(model, method: Triggered, text: str) -> None:
    for token in model.tokenize(text):
        method.before_step(0)
        method.after_step([token], 1, 0.001)


def test_the_grammar_holds_from_the_marker_to_its_end(model) -> None:
    guided = method(model, 'start: ("x" | "y") "z"')
    write(model, guided, "free <t")
    assert guided.before_step(0) == ([], None)
    write(model, guided, ">")
    draft, masks = guided.before_step(0)
    assert not draft
    assert allowed(model, masks) == {"x", "y"}
    write(model, guided, "xz")
    assert guided.before_step(0) == ([], None)  # complete: free again
    write(model, guided, " and <t>")
    assert allowed(model, guided.before_step(0)[1]) == {"x", "y"}


def test_no_guess_goes_beyond_a_marker(model) -> None:
    ids = model.tokenize("ab<t>qq")
    inner = Speculator(Fixed(ids), Governor(PassCosts()), PassCosts(), [])
    inner.after_step([5], 1, 0.001)
    guided = method(model, 'start: "x"', inner)
    draft, _ = guided.before_step(0)
    assert model.detokenize(draft) in ("ab<t"[: len(draft)], "ab<t")
    assert ">" not in model.detokenize(draft)


def test_what_the_grammar_does_not_allow_after_the_marker_stays_free(model) -> None:
    guided = method(model, 'start: "x"')
    guided.after_step(model.tokenize("<t"), 1, 0.001)
    guided._begin(b"not x")
    assert guided.before_step(0) == ([], None)


def test_a_whole_answer_is_guided_from_its_marker(model) -> None:
    """The tiny model is biased to write the marker."""
    (token,) = model.tokenize("<")
    guide = Guide("lark", 'start: "0".."9" "!"', "<<")
    text = model.generate(
        "hello", guide=guide, max_tokens=8, seed=1, logit_bias={token: 100}, temperature=0
    ).text()
    assert text.startswith("<<")
    assert text[2].isdigit()
    assert text[3] == "!"
