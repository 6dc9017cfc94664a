"""A published number, and how we come to ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Claim", "Outcome", "Value"]

Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Claim:
    """One published number, or a row of them.

    number: its row in the list of binding numbers, with a letter where a row has several. tolerance:
    the largest difference allowed in each number, half of the last printed digit where it was rounded.
    source: who published it, where. explained_by: the command, file or lesson that explains it.
    compute: gives ours. reason: why it does not hold, where it is known not to; what to know, where it does.
    is_slow: takes minutes, so that it is left out unless asked for.
    """

    number: str
    about: str
    published: Value
    source: str
    explained_by: str
    compute: Callable[[], Value]
    tolerance: float = 0.0
    reason: str = ""
    is_slow: bool = False
    known_to_fail: bool = False

    @property
    def order(self) -> tuple[int, str]:
        """What to sort by: the row's number, then its letter."""
        digits = self.number.rstrip("abcdefghijklmnopqrstuvwxyz")
        return int(digits), self.number[len(digits) :]


@dataclass(frozen=True)
class Outcome:
    """A claim and what came of it. ours: None where it could not be computed, and problem says why."""

    claim: Claim
    ours: Value | None
    seconds: float
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Every number within the tolerance of what was published."""
        published, ours = _row(self.claim.published), _row(self.ours)
        if len(published) != len(ours):
            return False
        return all(abs(p - o) <= self.claim.tolerance for p, o in zip(published, ours, strict=True))

    @property
    def verdict(self) -> str:
        """holds; does not hold (and reason says why); differs (unexpected); failed (not computed)."""
        if self.ours is None:
            return "failed"
        if self.holds:
            return "holds"
        return "does not hold" if self.claim.known_to_fail else "differs"


def _row(value: Value | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
