"""Schedules, step by step."""

from __future__ import annotations

import math

import pytest

from zeropoint.train.schedules.schedule import WSD, Constant, Cosine, Schedule


def nanogpt(it: int, rate: float, warmup: int, decay: int, least: float) -> float:
    """What nanoGPT's train.py gives its iteration `it`, from 0."""
    if it < warmup:
        return rate * (it + 1) / (warmup + 1)
    if it > decay:
        return least
    return least + 0.5 * (1 + math.cos(math.pi * (it - warmup) / (decay - warmup))) * (rate - least)


def test_cosine_is_nanogpt_s() -> None:
    cosine = Cosine(warmup_steps=100, final=0.1, decay_steps=2000)
    for step in (1, 2, 100, 101, 102, 1000, 1999, 2000, 2001, 3000):
        assert 1e-3 * cosine(step) == pytest.approx(nanogpt(step - 1, 1e-3, 100, 2000, 1e-4))


def test_wsd_stays_and_ends_in_a_line() -> None:
    wsd = WSD(warmup_steps=3, cooldown_steps=4, final=0.2, decay_steps=20)
    assert [wsd(step) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]
    assert wsd(16) == wsd(17) == 1
    assert [wsd(step) for step in (18, 19, 20, 21, 30)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2])
    assert WSD(decay_steps=10)(9) == pytest.approx(1.0)
    assert WSD(decay_steps=10)(10) == pytest.approx(0.5)  # a fifth of the run


@pytest.mark.parametrize("schedule", [Constant(4), Cosine(4, decay_steps=9), WSD(4, decay_steps=9)])
def test_warm_up_is_a_line_to_the_first_full_step(schedule: Schedule) -> None:
    assert [schedule(step) for step in (1, 2, 3, 4, 5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
