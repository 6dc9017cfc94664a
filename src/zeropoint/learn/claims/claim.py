"""A published number, the function that recomputes it, and the result of comparing the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Claim", "ClaimResult", "Value"]

Value = float | tuple[float, ...]


@dataclass(frozen=True)
class Claim:
    """One published number, or a row of numbers.

    number: identifies the claim ("16"), with a letter if several belong together ("20a"); `zeropoint verify
    16` selects it. description: the quantity. tolerance: the largest allowed difference per number; half the
    last printed digit for a rounded number. source: author, title, year and place. explained_by: a command to
    run to read more. compute: returns our value. reason: for a claim known to fail, why; otherwise a remark.
    is_slow: takes minutes and runs only on request.
    """

    number: str
    description: str
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
        """Sort key: the number, then the letter."""
        digits = self.number.rstrip("abcdefghijklmnopqrstuvwxyz")
        return int(digits), self.number[len(digits) :]


@dataclass(frozen=True)
class ClaimResult:
    """The value we computed for a claim. ours is None if the computation failed; `problem` says why."""

    claim: Claim
    ours: Value | None
    seconds: float
    problem: str = ""

    @property
    def holds(self) -> bool:
        """Whether every number is within the tolerance of the published one."""
        published, ours = _row(self.claim.published), _row(self.ours)
        if len(published) != len(ours):
            return False
        return all(abs(p - o) <= self.claim.tolerance for p, o in zip(published, ours, strict=True))

    @property
    def verdict(self) -> str:
        """holds; does not hold (known, see `reason`); differs (unexpected); failed (not computed)."""
        if self.ours is None:
            return "failed"
        if self.holds:
            return "holds"
        return "does not hold" if self.claim.known_to_fail else "differs"


def _row(value: Value | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)
