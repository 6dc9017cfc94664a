"""A text that is longer than the context: the remedy is one that the model allows."""

from __future__ import annotations

from pathlib import Path

import pytest

import zeropoint
from zeropoint.engine.context_limit import context_full, longer_context
from zeropoint.errors import ContextFull


def test_a_larger_context_is_suggested_only_up_to_the_limit_of_the_model() -> None:
    assert str(context_full("it has", 90, 64, 256)) == (
        "it has 90 tokens and the context holds 64; shorten it, or choose a larger context, up to 256 tokens"
    )
    assert str(context_full("it has", 300, 256, 256)) == (
        "it has 300 tokens and the context holds 256; shorten it, because this model takes at most 256 tokens"
    )
    assert longer_context(256, 256) == ""


@pytest.mark.parametrize(
    ("context", "remedy"),
    [(64, "choose a larger context, up to 256 tokens"), (256, "takes at most 256 tokens")],
)
def test_every_way_to_read_a_text_says_so(tiny_path: Path, context: int, remedy: str) -> None:
    ids = [65] * 300
    with zeropoint.load(tiny_path, context=context, threads=1) as model:
        stepper = model.stepper()
        for read in (
            lambda: model.generate(ids),
            lambda: model.score(ids),
            lambda: model.engine.trace(ids),
            lambda: stepper.extend(ids),
            lambda: model.chat("a" * 300),
        ):
            with pytest.raises(ContextFull, match=remedy):
                read()
