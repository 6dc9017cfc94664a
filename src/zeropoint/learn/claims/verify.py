"""Recompute published numbers: every file in `published/` holds one claim."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from zeropoint import registry
from zeropoint.errors import BadInput, ZeropointError, choices, not_installed
from zeropoint.learn.claims.claim import Claim, ClaimResult

__all__ = ["all_claims", "select_claims", "verify"]

_CLAIMS = "zeropoint.learn.claims.published"


def all_claims() -> list[Claim]:
    """Every claim, sorted by number. Raises BadInput with the pip command to run if torch is missing."""
    try:
        import torch  # noqa: F401 - every claim module needs it; one clear error beats thirty tracebacks
    except ModuleNotFoundError:
        raise BadInput(not_installed("verify", "torch")) from None
    claims = [registry.load(_CLAIMS, name, "claim").CLAIM for name in registry.names(_CLAIMS)]
    return sorted(claims, key=lambda claim: claim.order)


def select_claims(numbers: Iterable[str], *, has_slow: bool = False) -> list[Claim]:
    """The claims with these numbers: "20" selects 20a and 20b. Without numbers, all but the slow ones.

    has_slow: include the slow ones when no number is given. Raises BadInput for an unknown number.
    """
    claims, requested = all_claims(), list(numbers)
    if not requested:
        return [claim for claim in claims if has_slow or not claim.is_slow]
    known = {claim.number for claim in claims} | {str(claim.order[0]) for claim in claims}
    for number in requested:
        if number not in known:
            raise BadInput(choices("claim", number, known))
    return [claim for claim in claims if claim.number in requested or str(claim.order[0]) in requested]


def verify(claims: Iterable[Claim]) -> Iterator[ClaimResult]:
    """Compute each claim in turn. A ZeropointError becomes a result with the verdict "failed"."""
    for claim in claims:
        start = time.perf_counter()
        ours, problem = None, ""
        try:
            with _threads(claim):
                ours = claim.compute()
        except ZeropointError as error:
            problem = str(error)
        yield ClaimResult(claim, ours, time.perf_counter() - start, problem)


@contextmanager
def _threads(claim: Claim) -> Iterator[None]:
    """Use one thread for quick claims: their matrices are too small to split across threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if claim.is_slow else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
