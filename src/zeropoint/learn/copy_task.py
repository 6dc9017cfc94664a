"""The copy task of "The Annotated Transformer": say again what was said, learnt from nothing in minutes.

Sequences of ten tokens from 1 to 10, the first always 1, in batches of 80; an encoder-decoder of two layers
at the 2017 model's width. It is the smallest test that everything is wired right: embeddings, masks, cross-
attention, schedule, loss. `TASK` has the source's numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Sinusoidal
from zeropoint.data.batches import ALL, Rows
from zeropoint.models.build import build
from zeropoint.models.checkpoint_averaging import WeightAverage
from zeropoint.models.initialize import initialize
from zeropoint.models.seq2seq import Seq2Seq as Model
from zeropoint.train.loop.loop import StepResult, train
from zeropoint.train.loop.precision import fastest_dtype
from zeropoint.train.objectives.seq2seq import Seq2SeqLoss
from zeropoint.train.schedules.noam import Noam

__all__ = ["TASK", "CopyBatches", "CopyTask", "blueprint", "train_copy"]


@dataclass(frozen=True)
class CopyTask:
    """The source's numbers. Its optimizer scales the schedule by 0.5, its base learning rate."""

    n_vocab: int = 11
    n_layers: int = 2
    n_tokens: int = 10
    batch_size: int = 80
    n_epochs: int = 20
    n_batches: int = 20  # an epoch
    d_model: int = 512
    d_ff: int = 2048
    n_heads: int = 8
    n_warmup: int = 400
    factor: float = 0.5
    dropout: float = 0.1
    n_averaged: int = 5  # last epochs, the weights after each of whose steps are averaged


TASK = CopyTask()


def blueprint(task: CopyTask) -> Blueprint:
    """Norms before each part and one after the last, as the source has it; a head of its own with bias."""
    d_head = task.d_model // task.n_heads

    def attention(is_causal: bool) -> Attention:
        return Attention(task.n_heads, task.n_heads, d_head, is_causal=is_causal, bias="all")

    norm, ffn = LayerNorm(1e-6), MLP(task.d_ff, "relu")
    return Blueprint(
        family="transformer",
        d_model=task.d_model,
        n_vocab=task.n_vocab,
        n_ctx=64,
        blocks=(Block(attention(True), ffn, norm, cross_attention=attention(False)),) * task.n_layers,
        final_norm=norm,
        embedding=Embedding(Sinusoidal(64), scale=task.d_model**0.5),
        head=Head(is_tied=False, has_bias=True),
        encoder=(Block(attention(False), ffn, norm),) * task.n_layers,
        encoder_norm=norm,
    )


@dataclass(frozen=True)
class CopyBatches:
    """Source and answer, the same: ids [B, T]."""

    task: CopyTask
    seed: int

    @property
    def n_rows(self) -> int:
        """Sequences of a batch."""
        return self.task.batch_size

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Batch `step`."""
        task = self.task
        drawn = np.random.default_rng([self.seed, step])
        ids_BT = drawn.integers(1, task.n_vocab, (task.batch_size, task.n_tokens))
        ids_BT[:, 0] = 1
        own_BT = ids_BT[rows if isinstance(rows, slice) else list(rows)]
        return own_BT, own_BT


def train_copy(
    task: CopyTask = TASK, seed: int = 0, on_epoch: Callable[[int, float], None] | None = None
) -> Model:
    """Train from Xavier's weights, average the last epochs', and tell on_epoch(epoch, loss in nats).

    seed: of weights, batches and dropout: the same on the same machine gives the same model.
    """
    model = cast(Model, build(blueprint(task), seed=None, dropout=task.dropout))
    initialize(model, seed, "xavier")
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    n_steps = task.n_epochs * task.n_batches
    losses: list[float] = []
    average = WeightAverage()

    def after_step(done: StepResult) -> None:
        losses.append(done.loss)
        if done.step > n_steps - task.n_averaged * task.n_batches:
            average.add(model.state_dict())
        if on_epoch is not None and done.step % task.n_batches == 0:
            on_epoch(done.step // task.n_batches, sum(losses[-task.n_batches :]) / task.n_batches)

    train(
        model,
        CopyBatches(task, seed),
        Seq2SeqLoss(padding_id=0, label_smoothing=0.0),
        optimizer,
        n_steps=n_steps,
        schedule=Noam(task.d_model, task.n_warmup, task.factor),
        dtype=fastest_dtype(),
        seed=seed,
        after_step=after_step,
    )
    # The rate is at its peak when the task ends: the weights of single steps swing, their mean does not.
    if average.n:
        model.load_state_dict(average.weights())
    return model.eval()
