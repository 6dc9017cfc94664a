"""What one writes to set a transformer's weights by hand.

Every column of the residual stream has a name, so that a weight is a sentence: "from `position 3`, look at
`position 2`", "where there is `token a`, note +1 as `balance`". A head's own columns carry the same names
(d_head is d_model), which keeps every matrix readable on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["LARGE", "Head", "Layer", "Program", "look_back", "position", "token"]

# Softmax makes of a lead of 1024 / sqrt(d_head) a certainty, and the head's answer outweighs whatever the
# residual stream held before: the article's number.
LARGE = 1024.0

Links = Mapping[str, Mapping[str, float]]  # from column -> to column -> strength


@dataclass(frozen=True)
class Head:
    """One head, as three sentences.

    about: what it is for. looks: a token that has the first column looks for tokens that have the others,
    with that strength; empty, it looks at all before it alike. reads: what it takes from a token it looks at;
    writes: what the average of what it took adds to the residual stream.
    """

    about: str
    reads: Links
    writes: Links
    looks: Links = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """Heads side by side. always: what is added to the residual stream of every token, column to amount."""

    heads: tuple[Head, ...]
    always: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A whole model, told rather than trained.

    tokens: one character each. n_ctx: tokens it sees at most; of a longer text, the last so many. scratch:
    columns beside those of positions and tokens. answer: the token that is right after a text, which
    is what the weights are judged by. stop: the token that ends a completion.
    """

    name: str
    about: str
    tokens: str
    n_ctx: int
    layers: tuple[Layer, ...]
    answer: Callable[[str], str]
    scratch: tuple[str, ...] = ()
    has_positions: bool = True
    stop: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the residual stream's columns, in order; as many as d_model."""
        positions = (position(t) for t in range(self.n_ctx if self.has_positions else 0))
        return (*positions, *(token(character) for character in self.tokens), *self.scratch)

    def ids(self, text: str) -> list[int]:
        """The ids of the last n_ctx characters of text."""
        return [self.tokens.index(character) for character in text[-self.n_ctx :]]


def position(t: int) -> str:
    """The column that is 1 at position t and 0 elsewhere."""
    return f"position {t}"


def token(character: str) -> str:
    """The column that is 1 for that token and 0 for others. What is added to it makes that token likely."""
    return f"token {character}"


def look_back(n_ctx: int, *distances: int) -> dict[str, dict[str, float]]:
    """From every position, look at those so many before (0: itself); at the start, at the first instead."""
    return {
        position(t): {position(max(t - distance, 0)): LARGE for distance in distances} for t in range(n_ctx)
    }
