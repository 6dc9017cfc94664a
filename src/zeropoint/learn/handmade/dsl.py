"""A small language to describe a transformer's weights by hand.

Every column of the residual stream has a name, so that a weight reads as a sentence: "from `position 3`,
attend to `position 2`" or "where there is `token a`, add +1 to `balance`". The columns inside a head have the
same names (d_head equals d_model), so that every matrix has labelled rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

__all__ = ["LARGE", "Head", "Layer", "Program", "attend_back", "position", "token"]

# The article's constant: a score lead of 1024 / sqrt(d_head) makes softmax pick one token with certainty, and
# the head's output outweighs everything else in the residual stream.
LARGE = 1024.0

Links = Mapping[str, Mapping[str, float]]  # from column -> to column -> strength


@dataclass(frozen=True)
class Head:
    """One attention head. description: its purpose.

    attends: a token with the first column attends to tokens with the second, with this strength (query and
    key); if empty, to all tokens up to itself equally. reads: what to take from a token attended to (value).
    writes: what the average of the values adds to the residual stream (output projection).
    """

    description: str
    reads: Links
    writes: Links
    attends: Links = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """Parallel heads. bias: column -> amount added to the residual stream of every token."""

    heads: tuple[Head, ...]
    bias: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """A complete model, described instead of trained.

    tokens: the vocabulary, one character per token. n_ctx: context length; of a longer text, the model sees
    the last n_ctx tokens. expected: returns the correct next token after a text. scratch: extra columns
    besides those of positions and tokens. stop: the token that ends a completion.
    """

    name: str
    description: str
    tokens: str
    n_ctx: int
    layers: tuple[Layer, ...]
    expected: Callable[[str], str]
    scratch: tuple[str, ...] = ()
    has_positions: bool = True
    stop: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The d_model column names of the residual stream, in order."""
        positions = (position(t) for t in range(self.n_ctx if self.has_positions else 0))
        return (*positions, *(token(character) for character in self.tokens), *self.scratch)

    def ids(self, text: str) -> list[int]:
        """The ids of the last n_ctx characters of text."""
        return [self.tokens.index(character) for character in text[-self.n_ctx :]]


def position(t: int) -> str:
    """The column that is 1 at position t and 0 elsewhere."""
    return f"position {t}"


def token(character: str) -> str:
    """The column that is 1 for this token and 0 for others; a larger value makes it a likelier prediction."""
    return f"token {character}"


def attend_back(n_ctx: int, *distances: int) -> dict[str, dict[str, float]]:
    """From each position, attend to the positions this far before it (0: itself), clamped to the first."""
    return {
        position(t): {position(max(t - distance, 0)): LARGE for distance in distances} for t in range(n_ctx)
    }
