"""Train word vectors on a text: seconds for a small one."""

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
    """d_model: width of a vector. window: words to each side. n_wrong: words drawn by chance for each pair.

    least: how often a word must occur to get a vector. rate: Adam's learning rate. The papers train with
    plain gradient steps over billions of words; over thousands, Adam gets there in seconds.
    """

    d_model: int = 32
    window: int = 4
    n_wrong: int = 5
    least: int = 1
    n_epochs: int = 5
    batch_size: int = 512
    rate: float = 0.01
    seed: int = 0


def train_skip_gram(text: Sequence[str], task: WordTask = WordTask()) -> WordVectors:
    """Skip-gram with negative sampling on a text of words."""
    words = WordCounts.of(text, task.least)
    centres, neighbours = context_pairs(words.ids(text), task.window)
    draw = _drawer(words, task)

    def objective(model: nn.Module, centre_B: Tensor, neighbour_B: Tensor) -> Tensor:
        loss: Tensor = model(centre_B, neighbour_B, draw(len(centre_B)))
        return loss

    return _trained(
        words, task, lambda: SkipGram(len(words.words), task.d_model), objective, centres, neighbours
    )


def train_cbow(text: Sequence[str], task: WordTask = WordTask()) -> WordVectors:
    """Continuous bag of words with negative sampling; the first and last few words are not asked."""
    words = WordCounts.of(text, task.least)
    ids, window = words.ids(text), task.window
    if len(ids) <= 2 * window:
        raise BadInput(
            f"the text has {len(ids)} known words; a window of {window} needs more than {2 * window}"
        )
    whole = np.lib.stride_tricks.sliding_window_view(ids, 2 * window + 1)
    draw = _drawer(words, task)

    def objective(model: nn.Module, neighbours_BC: Tensor, centre_B: Tensor) -> Tensor:
        loss: Tensor = model(neighbours_BC, centre_B, draw(len(centre_B)))
        return loss

    around, centres = np.delete(whole, window, axis=1), whole[:, window]
    return _trained(words, task, lambda: Cbow(len(words.words), task.d_model), objective, around, centres)


def train_glove(
    text: Sequence[str], task: WordTask = WordTask(n_epochs=60), often: float = 100.0
) -> WordVectors:
    """GloVe on a text of words. often: the count from which a pair weighs fully."""
    words = WordCounts.of(text, task.least)
    centres, neighbours, counts = cooccurrences(words.ids(text), task.window)

    def objective(model: nn.Module, centre_B: Tensor, neighbour_B: Tensor, count_B: Tensor) -> Tensor:
        loss: Tensor = model(centre_B, neighbour_B, count_B.float())
        return loss

    def build() -> GloVe:
        return GloVe(len(words.words), task.d_model, often)

    return _trained(words, task, build, objective, centres, neighbours, counts)


def _trained(
    words: WordCounts,
    task: WordTask,
    build: Callable[[], SkipGram | Cbow | GloVe],
    objective: Callable[..., Tensor],
    *columns: np.ndarray,
) -> WordVectors:
    # Layers draw their first weights from torch's own generator, which belongs to the caller.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=task.rate)
    batches = Shuffled(columns, task.batch_size, task.seed)
    train(model, batches, objective, optimizer, n_steps=task.n_epochs * batches.n_batches, seed=task.seed)
    return WordVectors(words.words, model.vectors())


def _drawer(words: WordCounts, task: WordTask) -> Callable[[int], Tensor]:
    """Draws wrong words [B, M]. Now and then one is right, which the paper leaves as it is."""
    generator = torch.Generator().manual_seed(task.seed + 1)
    probabilities = torch.from_numpy(noise_distribution(words.counts))

    def draw(n_pairs: int) -> Tensor:
        n_drawn = n_pairs * task.n_wrong
        return torch.multinomial(probabilities, n_drawn, True, generator=generator).view(
            n_pairs, task.n_wrong
        )

    return draw
