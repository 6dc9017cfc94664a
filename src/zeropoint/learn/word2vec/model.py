"""Words as vectors: a word is known by the company it keeps.

CBOW and skip-gram with negative sampling: Mikolov et al., "Efficient Estimation of Word Representations" and
"Distributed Representations of Words and Phrases", both 2013. GloVe: Pennington et al., 2014. Each is two
tables, a vector for a word as centre and one as neighbour; what differs is the question they are asked.
Axes beside the house's: M wrong words, C neighbours.
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
    """Given a word, is this a neighbour of it, or a word drawn by chance?"""

    def __init__(self, n_vocab: int, d_model: int) -> None:
        super().__init__()
        self.centre = nn.Embedding(n_vocab, d_model)
        self.neighbour = nn.Embedding(n_vocab, d_model)
        nn.init.uniform_(self.centre.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.neighbour.weight)

    def forward(self, centre_B: Tensor, neighbour_B: Tensor, wrong_BM: Tensor) -> Tensor:
        """Loss a pair: -log sigmoid(c . n) - sum over wrong words of log sigmoid(-c . w)."""
        return _told_apart(self.centre(centre_B), self.neighbour(neighbour_B), self.neighbour(wrong_BM))

    def vectors(self) -> Tensor:
        """A vector a word [V, D]: the centre's table."""
        return self.centre.weight.detach()


class Cbow(nn.Module):
    """Given the mean of a word's neighbours, is this the word, or one drawn by chance?"""

    def __init__(self, n_vocab: int, d_model: int) -> None:
        super().__init__()
        self.neighbour = nn.Embedding(n_vocab, d_model)
        self.centre = nn.Embedding(n_vocab, d_model)
        nn.init.uniform_(self.neighbour.weight, -0.5 / d_model, 0.5 / d_model)
        nn.init.zeros_(self.centre.weight)

    def forward(self, neighbours_BC: Tensor, centre_B: Tensor, wrong_BM: Tensor) -> Tensor:
        """Loss a word, as skip-gram's with the mean of the neighbours in the place of the centre."""
        return _told_apart(
            self.neighbour(neighbours_BC).mean(1), self.centre(centre_B), self.centre(wrong_BM)
        )

    def vectors(self) -> Tensor:
        """A vector a word [V, D]: the table that is read."""
        return self.neighbour.weight.detach()


class GloVe(nn.Module):
    """c_i . n_j + b_i + b_j shall be log X_ij, and more so for pairs that are seen often."""

    def __init__(self, n_vocab: int, d_model: int, often: float = 100.0) -> None:
        """often: the count from which a pair weighs fully; the paper's x_max."""
        super().__init__()
        self.often = often
        self.centre = nn.Embedding(n_vocab, d_model)
        self.neighbour = nn.Embedding(n_vocab, d_model)
        self.centre_bias = nn.Embedding(n_vocab, 1)
        self.neighbour_bias = nn.Embedding(n_vocab, 1)
        for table in self.parameters():
            nn.init.uniform_(table, -0.5 / d_model, 0.5 / d_model)

    def forward(self, centre_B: Tensor, neighbour_B: Tensor, count_B: Tensor) -> Tensor:
        """f(X) (c . n + b + b' - log X)^2 a pair, with f(X) = min(1, X / often)^0.75."""
        bias_B = (self.centre_bias(centre_B) + self.neighbour_bias(neighbour_B)).squeeze(-1)
        said_B = (self.centre(centre_B) * self.neighbour(neighbour_B)).sum(-1) + bias_B
        weight_B = (count_B / self.often).clamp(max=1.0) ** 0.75
        loss: Tensor = (weight_B * (said_B - count_B.log()) ** 2).mean()
        return loss

    def vectors(self) -> Tensor:
        """A vector a word [V, D]: the sum of both tables (section 4.2), which play the same part."""
        return (self.centre.weight + self.neighbour.weight).detach()


@dataclass(frozen=True)
class WordVectors:
    """Words and their vectors [V, D], to be asked what is near what."""

    words: tuple[str, ...]
    vectors_VD: Tensor

    def neighbours(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The n nearest words by cosine, nearest first, without the word itself."""
        return self._nearest(self._unit(word), {word}, n)

    def analogy(self, a: str, b: str, c: str, n: int = 1) -> list[tuple[str, float]]:
        """a is to b as c is to what? The nearest to b - a + c, without these three (Mikolov et al., 2013)."""
        return self._nearest(self._unit(b) - self._unit(a) + self._unit(c), {a, b, c}, n)

    def similarity(self, a: str, b: str) -> float:
        """Cosine of two words' vectors."""
        return float(self._unit(a) @ self._unit(b))

    def _unit(self, word: str) -> Tensor:
        if word not in self.words:
            raise BadInput(
                choices("word", word, self.words) if len(self.words) < 20 else f"no word `{word}` here"
            )
        return F.normalize(self.vectors_VD[self.words.index(word)], dim=0)

    def _nearest(self, sought_D: Tensor, without: Iterable[str], n: int) -> list[tuple[str, float]]:
        cosine_V = F.normalize(self.vectors_VD, dim=-1) @ F.normalize(sought_D, dim=0)
        for word in without:
            cosine_V[self.words.index(word)] = -torch.inf
        best = cosine_V.topk(min(n, len(self.words) - len(set(without))))
        return [
            (self.words[i], float(value)) for value, i in zip(best.values, best.indices.tolist(), strict=True)
        ]


def _told_apart(x_BD: Tensor, right_BD: Tensor, wrong_BMD: Tensor) -> Tensor:
    right_B = F.logsigmoid((x_BD * right_BD).sum(-1))
    wrong_B = F.logsigmoid(-torch.einsum("bd,bmd->bm", x_BD, wrong_BMD)).sum(-1)
    return -(right_B + wrong_B).mean()
