"""Train word vectors on a text; a small text takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint.data.batches import Shuffled
from zeropoint.data.word_counts import WordCounts, context_pairs, cooccurrences, noise_distribution
from zeropoint.errors import BadInput
from zeropoint.learn.word2vec.model import Cbow, GloVe, SkipGram, WordVectors
from zeropoint.train.loop.loop import train

__all__ = ["WordTask", "train_cbow", "train_glove", "train_skip_gram"]


@dataclass(frozen=True)
class WordTask:
    """d_model: width of a vector. window: context words on each side. n_negative: negative samples per pair.

    min_count: occurrences a word needs to get a vector. learning_rate: of Adam. The papers use plain SGD on
    billions of words; on thousands of words, Adam converges in seconds.
    """

    d_model: int = 32
    window: int = 4
    n_negative: int = 5
    min_count: int = 1
    n_epochs: int = 5
    batch_size: int = 512
    learning_rate: float = 0.01
    seed: int = 0


def train_skip_gram(text: Sequence[str], task: WordTask = WordTask()) -> WordVectors:
    """Train skip-gram with negative sampling on a list of words."""
    words = WordCounts.of(text, task.min_count)
    centres, neighbours = context_pairs(words.ids(text), task.window)
    draw = _negative_sampler(words, task)

    def objective(model: nn.Module, centre_B: Tensor, neighbour_B: Tensor) -> Tensor:
        loss: Tensor = model(centre_B, neighbour_B, draw(len(centre_B)))
        return loss

    return _train(
        words, task, lambda: SkipGram(len(words.words), task.d_model), objective, centres, neighbours
    )


def train_cbow(text: Sequence[str], task: WordTask = WordTask()) -> WordVectors:
    """Train CBOW with negative sampling. The first and last `window` words are never the centre."""
    words = WordCounts.of(text, task.min_count)
    ids, window = words.ids(text), task.window
    if len(ids) <= 2 * window:
        raise BadInput(
            f"the text has {len(ids)} words that occur at least {task.min_count} times; a window of {window} "
            f"needs more than {2 * window}"
        )
    windows = np.lib.stride_tricks.sliding_window_view(ids, 2 * window + 1)
    draw = _negative_sampler(words, task)

    def objective(model: nn.Module, neighbours_BC: Tensor, centre_B: Tensor) -> Tensor:
        loss: Tensor = model(neighbours_BC, centre_B, draw(len(centre_B)))
        return loss

    neighbours, centres = np.delete(windows, window, axis=1), windows[:, window]
    return _train(words, task, lambda: Cbow(len(words.words), task.d_model), objective, neighbours, centres)


def train_glove(
    text: Sequence[str], task: WordTask = WordTask(n_epochs=60), x_max: float = 100.0
) -> WordVectors:
    """Train GloVe on a list of words. x_max: the count from which a pair has full weight."""
    words = WordCounts.of(text, task.min_count)
    centres, neighbours, counts = cooccurrences(words.ids(text), task.window)

    def objective(model: nn.Module, centre_B: Tensor, neighbour_B: Tensor, count_B: Tensor) -> Tensor:
        loss: Tensor = model(centre_B, neighbour_B, count_B.float())
        return loss

    def build() -> GloVe:
        return GloVe(len(words.words), task.d_model, x_max)

    return _train(words, task, build, objective, centres, neighbours, counts)


def _train(
    words: WordCounts,
    task: WordTask,
    build: Callable[[], SkipGram | Cbow | GloVe],
    objective: Callable[..., Tensor],
    *columns: np.ndarray,
) -> WordVectors:
    # Layers draw initial weights from torch's global generator; restore its state for the caller.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate)
    batches = Shuffled(columns, task.batch_size, task.seed)
    train(model, batches, objective, optimizer, n_steps=task.n_epochs * batches.n_batches, seed=task.seed)
    return WordVectors(words.words, model.vectors())


def _negative_sampler(words: WordCounts, task: WordTask) -> Callable[[int], Tensor]:
    """Return a function that draws negative samples [B, M]; as in the paper, these may include neighbours."""
    generator = torch.Generator().manual_seed(task.seed + 1)
    probabilities = torch.from_numpy(noise_distribution(words.counts))

    def draw(n_pairs: int) -> Tensor:
        n_samples = n_pairs * task.n_negative
        return torch.multinomial(probabilities, n_samples, True, generator=generator).view(
            n_pairs, task.n_negative
        )

    return draw
