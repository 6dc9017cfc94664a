"""Learning-rate schedules, step by step."""

from __future__ import annotations

import math

import pytest

from zeropoint.train.schedules import Schedule
from zeropoint.train.schedules.constant import Constant
from zeropoint.train.schedules.cosine import Cosine
from zeropoint.train.schedules.noam import Noam
from zeropoint.train.schedules.wsd import WSD


def nanogpt_lr(it: int, rate: float, warmup_iters: int, lr_decay_iters: int, min_lr: float) -> float:
    """`get_lr` of nanoGPT's train.py, for iteration `it` from 0."""
    if it < warmup_iters:
        return rate * (it + 1) / (warmup_iters + 1)
    if it > lr_decay_iters:
        return min_lr
    progress = (it - warmup_iters) / (lr_decay_iters - warmup_iters)
    return min_lr + 0.5 * (1 + math.cos(math.pi * progress)) * (rate - min_lr)


def test_cosine_reaches_its_final_rate_at_decay_steps() -> None:
    cosine = Cosine(warmup_steps=2, min_lr_ratio=0.1, decay_steps=11)
    assert cosine(3) == 1
    assert cosine(7) == pytest.approx(0.55)  # halfway between steps 3 and 11
    assert 0.1 < cosine(10) < 0.2
    assert cosine(11) == cosine(12) == cosine(100) == 0.1


def test_cosine_matches_nanogpt_one_step_later() -> None:
    """nanoGPT counts iterations from 0, so `lr_decay_iters` is our step `lr_decay_iters + 1`."""
    cosine = Cosine(warmup_steps=100, min_lr_ratio=0.1, decay_steps=2001)
    for step in (1, 2, 100, 101, 102, 1000, 1999, 2000, 2001, 2002, 3000):
        assert 1e-3 * cosine(step) == pytest.approx(nanogpt_lr(step - 1, 1e-3, 100, 2000, 1e-4))


@pytest.mark.parametrize("decay_steps", [0, 1, 4, 5])
def test_cosine_needs_no_steps_between_warmup_and_the_end(decay_steps: int) -> None:
    cosine = Cosine(warmup_steps=4, min_lr_ratio=0.1, decay_steps=decay_steps)
    assert [cosine(step) for step in (1, 4, 5, 6)] == pytest.approx([0.2, 0.8, 0.1, 0.1])


def test_wsd_stays_at_the_peak_and_then_falls_linearly() -> None:
    wsd = WSD(warmup_steps=3, cooldown_steps=4, min_lr_ratio=0.2, decay_steps=20)
    assert [wsd(step) for step in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1]
    assert wsd(15) == wsd(16) == 1
    assert [wsd(step) for step in (17, 18, 19, 20, 30)] == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.2])
    assert WSD(decay_steps=10)(8) == pytest.approx(1.0)  # cooldown_steps: a fifth of the run
    assert WSD(decay_steps=10)(9) == pytest.approx(0.5)


def test_noam_peaks_at_warmup_steps() -> None:
    noam = Noam(d_model=16, warmup_steps=10)
    assert max(range(1, 100), key=noam) == 10
    assert noam(10) == pytest.approx(16**-0.5 * 10**-0.5)


@pytest.mark.parametrize("schedule", [Constant(4), Cosine(4, decay_steps=9), WSD(4, decay_steps=9)])
def test_warmup_rises_linearly_to_the_first_full_step(schedule: Schedule) -> None:
    assert [schedule(step) for step in (1, 2, 3, 4, 5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])


def test_unset_fields_come_from_the_run() -> None:
    assert Cosine().for_run(50, 64) == Cosine(decay_steps=50)
    assert WSD(decay_steps=30).for_run(50, 64) == WSD(decay_steps=30)
    assert Noam().for_run(50, 64) == Noam(d_model=64)
    assert Constant(3).for_run(50, 64) == Constant(3)
