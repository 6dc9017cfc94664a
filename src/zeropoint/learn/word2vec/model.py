"""Word vectors: words that occur in similar contexts get similar vectors.

CBOW and skip-gram with negative sampling: Mikolov et al., "Efficient Estimation of Word Representations" and
"Distributed Representations of Words and Phrases", both 2013. GloVe: Pennington et al., 2014. Each model has
two tables, one vector per word as centre and one as neighbour; they differ in the loss. Extra axes: M
negative samples, C neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.errors import BadInput, choices

__all__ = ["Cbow", "GloVe", "SkipGram", "WordVectors"]


class SkipGram(nn.Module):
    """Skip-gram: given a word, distinguish its neighbours from random words."""

    def __init__(self, n_vocab: int, d_model: int) -> None:
        super().__init__()
        self.centre = nn.Embedding(n_vocab, d_model)
        self.neighbour = nn.Embedding(n_vocab, d_model)
        nn.init.uniform_(self.centre.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.neighbour.weight)

    def forward(self, centre_B: Tensor, neighbour_B: Tensor, negative_BM: Tensor) -> Tensor:
        """Mean loss per pair: -log sigmoid(c . n) - sum over negative samples w of log sigmoid(-c . w)."""
        return _negative_sampling_loss(
            self.centre(centre_B), self.neighbour(neighbour_B), self.neighbour(negative_BM)
        )

    def vectors(self) -> Tensor:
        """One vector per word [V, D]: the centre table."""
        return self.centre.weight.detach()


class Cbow(nn.Module):
    """Continuous bag of words: given the mean of the neighbours, distinguish the word from random ones."""

    def __init__(self, n_vocab: int, d_model: int) -> None:
        super().__init__()
        self.neighbour = nn.Embedding(n_vocab, d_model)
        self.centre = nn.Embedding(n_vocab, d_model)
        nn.init.uniform_(self.neighbour.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.centre.weight)

    def forward(self, neighbours_BC: Tensor, centre_B: Tensor, negative_BM: Tensor) -> Tensor:
        """Mean loss per word: that of skip-gram, with the mean of the neighbours as centre."""
        return _negative_sampling_loss(
            self.neighbour(neighbours_BC).mean(1), self.centre(centre_B), self.centre(negative_BM)
        )

    def vectors(self) -> Tensor:
        """One vector per word [V, D]: the input table."""
        return self.neighbour.weight.detach()


class GloVe(nn.Module):
    """GloVe: fit c_i . n_j + b_i + b_j to the log co-occurrence count log X_ij."""

    def __init__(self, n_vocab: int, d_model: int, x_max: float = 100.0) -> None:
        """x_max: the count from which a pair has full weight."""
        super().__init__()
        self.x_max = x_max
        self.centre = nn.Embedding(n_vocab, d_model)
        self.neighbour = nn.Embedding(n_vocab, d_model)
        self.centre_bias = nn.Embedding(n_vocab, 1)
        self.neighbour_bias = nn.Embedding(n_vocab, 1)
        for table in self.parameters():
            nn.init.uniform_(table, -0.5 / d_model, 0.5 / d_model)

    def forward(self, centre_B: Tensor, neighbour_B: Tensor, count_B: Tensor) -> Tensor:
        """Mean over pairs of f(X) (c . n + b + b' - log X)^2, with f(X) = min(1, X / x_max)^0.75."""
        bias_B = (self.centre_bias(centre_B) + self.neighbour_bias(neighbour_B)).squeeze(-1)
        predicted_B = (self.centre(centre_B) * self.neighbour(neighbour_B)).sum(-1) + bias_B
        weight_B = (count_B / self.x_max).clamp(max=1.0) ** 0.75
        loss: Tensor = (weight_B * (predicted_B - count_B.log()) ** 2).mean()
        return loss

    def vectors(self) -> Tensor:
        """One vector per word [V, D]: the sum of both tables (section 4.2), whose roles are symmetric."""
        return (self.centre.weight + self.neighbour.weight).detach()


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors [V, D], with lookups by similarity."""

    words: tuple[str, ...]
    vectors_VD: Tensor

    def neighbours(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The n nearest words by cosine similarity, nearest first, excluding the word itself."""
        return self._nearest(self._unit(word), {word}, n)

    def analogy(self, a: str, b: str, c: str, n: int = 1) -> list[tuple[str, float]]:
        """a is to b as c is to what? The nearest to b - a + c, excluding a, b, c (Mikolov et al., 2013)."""
        return self._nearest(self._unit(b) - self._unit(a) + self._unit(c), {a, b, c}, n)

    def similarity(self, a: str, b: str) -> float:
        """Cosine similarity of two words."""
        return float(self._unit(a) @ self._unit(b))

    def _unit(self, word: str) -> Tensor:
        if word not in self.words:
            raise BadInput(
                choices("word", word, self.words)
                if len(self.words) < 20
                else f"unknown word `{word}`; choose one that occurs in the training text"
            )
        return F.normalize(self.vectors_VD[self.words.index(word)], dim=0)

    def _nearest(self, target_D: Tensor, excluded: Iterable[str], n: int) -> list[tuple[str, float]]:
        cosine_V = F.normalize(self.vectors_VD, dim=-1) @ F.normalize(target_D, dim=0)
        for word in excluded:
            cosine_V[self.words.index(word)] = -torch.inf
        best = cosine_V.topk(min(n, len(self.words) - len(set(excluded))))
        return [
            (self.words[i], float(value)) for value, i in zip(best.values, best.indices.tolist(), strict=True)
        ]


def _negative_sampling_loss(x_BD: Tensor, positive_BD: Tensor, negative_BMD: Tensor) -> Tensor:
    positive_B = F.logsigmoid((x_BD * positive_BD).sum(-1))
    negative_B = F.logsigmoid(-torch.einsum("bd,bmd->bm", x_BD, negative_BMD)).sum(-1)
    return -(positive_B + negative_B).mean()
