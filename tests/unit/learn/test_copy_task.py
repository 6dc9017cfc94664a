"""The copy task of The Annotated Transformer: scaled down; at full size as a slow test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
import torch

from zeropoint.decoding.beam import Beam, beam_search
from zeropoint.decoding.greedy import greedy
from zeropoint.learn.copy_task import TASK, CopyBatches, CopyTask, blueprint, train_copy
from zeropoint.models.seq2seq import Seq2Seq
from zeropoint.models.stepper import Seq2SeqStepper

SMALL = CopyTask(
    n_tokens=5,
    batch_size=32,
    n_epochs=12,
    n_layers=1,
    d_model=64,
    d_ff=128,
    n_heads=4,
    n_warmup=80,
    dropout=0.0,
)

# Run in a subprocess, which uses all cores and can be killed.
FULL_TASK = """
import torch
from zeropoint.decoding.greedy import greedy
from zeropoint.models.stepper import Seq2SeqStepper
from zeropoint.learn.copy_task import TASK, CopyBatches, train_copy

model = train_copy()
unseen, _ = CopyBatches(TASK, 1).batch(0)
for source in unseen.tolist() + [[1, *range(2, 11)], [1, 10, 9, 8, 7, 6, 5, 4, 3, 2]]:
    assert greedy(Seq2SeqStepper(model, source), [1], 9) == source[1:], source
"""


def copy(model: Seq2Seq, source: Sequence[int]) -> list[int]:
    return [source[0], *greedy(Seq2SeqStepper(model, source), [source[0]], len(source) - 1)]


def test_the_hyperparameters_match_the_source() -> None:
    assert (TASK.n_vocab, TASK.n_layers, TASK.batch_size) == (11, 2, 80)
    assert (TASK.n_epochs, TASK.n_batches) == (20, 20)
    b = blueprint(TASK)
    assert len(b.encoder) == len(b.blocks) == 2
    ids, target = CopyBatches(TASK, 0).batch(0)
    assert ids.shape == (80, 10)
    assert (ids == target).all()
    assert (ids[:, 0] == 1).all()
    assert ids.min() == 1
    assert ids.max() == 10


@pytest.mark.train
def test_a_small_model_learns_to_copy() -> None:
    losses: list[float] = []
    model = train_copy(SMALL, on_epoch=lambda epoch, loss: losses.append(loss))
    assert len(losses) == SMALL.n_epochs
    assert losses[-1] < 0.1 < losses[0]
    for source in ([1, 2, 3, 4, 5], [1, 9, 9, 10, 2]):
        assert copy(model, source) == source
        best = beam_search(lambda s=source: Seq2SeqStepper(model, s), [1], 4, Beam(3))[0]
        assert [1, *best.ids] == source


def test_a_stepper_rolls_back_and_continues() -> None:
    model = train_copy(CopyTask(n_epochs=0, d_model=32, d_ff=32, n_heads=2))
    stepper = Seq2SeqStepper(model, [1, 2, 3])
    full = stepper.extend([1, 4, 5])
    stepper.rollback(2)
    assert stepper.n_tokens == 1
    torch.testing.assert_close(
        torch.tensor(stepper.extend([4, 5])), torch.tensor(full[1:]), atol=1e-5, rtol=1e-5
    )


@pytest.mark.slow
def test_the_full_task_copies_exactly() -> None:
    """Takes under two minutes on two idle cores; the timeout guards against a hang."""
    subprocess.run([sys.executable, "-c", FULL_TASK], check=True, timeout=1800)
