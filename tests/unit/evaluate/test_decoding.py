"""The table of decoding methods: every prompt with every method, and what guessing gained."""

from __future__ import annotations

from pathlib import Path

import pytest

import zeropoint
from zeropoint.evaluate.decoding import measure_decoding, read_prompts

pytestmark = pytest.mark.model


def test_every_method_answers_every_category(tiny_path: Path) -> None:
    prompts = {"coding": ["ababab", "cdcd"], "qa": ["xyz"]}
    rounds = []
    with zeropoint.load(tiny_path, threads=1) as model:
        found = measure_decoding(
            model,
            ["auto", "prompt-lookup"],
            prompts,
            n_rounds=2,
            max_tokens=24,
            on_round=lambda done, total: rounds.append((done, total)),
        )
    assert [(gain.category, gain.method) for gain in found] == [
        (category, method) for category in prompts for method in ("off", "auto", "prompt-lookup")
    ]
    assert rounds == [(0, 2), (1, 2), (2, 2)]
    for gain in found:
        assert len(gain.speeds) == 2
        assert gain.is_identical
        assert gain.n_tokens == 24 * 2 * len(prompts[gain.category])
        assert gain.rows_per_token >= 1
    assert found[0].acceptance is None


def test_the_prompts_have_the_categories_of_speed_bench() -> None:
    prompts = read_prompts()
    assert list(prompts) == [
        "coding",
        "maths",
        "roleplay",
        "writing",
        "reasoning",
        "summarization",
        "multilingual",
        "stem",
        "humanities",
        "qa",
        "rag",
    ]
    assert all(len(texts) >= 2 and all(text.strip() for text in texts) for texts in prompts.values())
