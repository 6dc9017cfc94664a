"""The copy task of "The Annotated Transformer" (Rush et al., 2022): learn to output the input, in minutes.

The inputs are sequences of ten tokens from 1 to 10, starting with 1; the model is an encoder-decoder of two
layers with the width of the 2017 model. It is the smallest end-to-end test of embeddings, masks,
cross-attention, schedule and loss. `TASK` has the source's hyperparameters.
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
    """Hyperparameters; the defaults are the source's. factor: scales the Noam schedule."""

    n_vocab: int = 11
    n_layers: int = 2
    n_tokens: int = 10
    batch_size: int = 80
    n_epochs: int = 20
    n_batches: int = 20  # per epoch
    d_model: int = 512
    d_ff: int = 2048
    n_heads: int = 8
    n_warmup: int = 400
    factor: float = 0.5
    dropout: float = 0.1
    n_averaged: int = 5  # average the weights after every step of this many last epochs


TASK = CopyTask()


def blueprint(task: CopyTask) -> Blueprint:
    """The source's architecture: pre-norm, a final norm, an untied head with bias."""
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
    """Batches of (source, target), which are equal: ids [B, T]."""

    task: CopyTask
    seed: int

    @property
    def n_rows(self) -> int:
        """Sequences per batch."""
        return self.task.batch_size

    def batch(self, step: int, rows: Rows = ALL) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The batch of a step, which depends only on seed and step."""
        task = self.task
        rng = np.random.default_rng([self.seed, step])
        ids_BT = rng.integers(1, task.n_vocab, (task.batch_size, task.n_tokens))
        ids_BT[:, 0] = 1
        rows_BT = ids_BT[rows if isinstance(rows, slice) else list(rows)]
        return rows_BT, rows_BT


def train_copy(
    task: CopyTask = TASK, seed: int = 0, on_epoch: Callable[[int, float], None] | None = None
) -> Model:
    """Train from Xavier initialization and average the weights of the last epochs.

    seed: of weights, batches and dropout; it reproduces the model on the same machine. on_epoch: called with
    the epoch and its mean loss in nats.
    """
    model = cast(Model, build(blueprint(task), seed=None, dropout=task.dropout))
    initialize(model, seed, "xavier")
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    n_steps = task.n_epochs * task.n_batches
    losses: list[float] = []
    average = WeightAverage()

    def after_step(result: StepResult) -> None:
        losses.append(result.loss)
        if result.step > n_steps - task.n_averaged * task.n_batches:
            average.add(model.state_dict())
        if on_epoch is not None and result.step % task.n_batches == 0:
            on_epoch(result.step // task.n_batches, sum(losses[-task.n_batches :]) / task.n_batches)

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
    # The learning rate peaks at the end of the task, so weights fluctuate between steps; their mean does not.
    if average.n:
        model.load_state_dict(average.weights())
    return model.eval()
