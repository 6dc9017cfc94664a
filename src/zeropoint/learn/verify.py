"""Published numbers, computed again: each file of `claims/` is one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from zeropoint import registry
from zeropoint.errors import BadInput, ZeropointError, choices
from zeropoint.learn.claim import Claim, Outcome

__all__ = ["all_claims", "chosen", "run"]

_CLAIMS = "zeropoint.learn.claims"


def all_claims() -> list[Claim]:
    """Every claim, by its number. Raises BadInput with the install line where torch is missing."""
    try:
        import torch  # noqa: F401 - what the claims stand on, asked for before any of them
    except ModuleNotFoundError:
        raise BadInput(
            "verify computes with torch, which is not installed; run `pip install 'zeropoint[train]'`"
        ) from None
    claims = [registry.load(_CLAIMS, name, "claim").CLAIM for name in registry.names(_CLAIMS)]
    return sorted(claims, key=lambda claim: claim.order)


def chosen(numbers: Iterable[str], *, has_slow: bool = False) -> list[Claim]:
    """The claims of these numbers ("16", or "9a"); all for none, the slow ones only if has_slow.

    Raises BadInput for a number that there is not.
    """
    claims, wanted = all_claims(), list(numbers)
    if not wanted:
        return [claim for claim in claims if has_slow or not claim.is_slow]
    known = {claim.number for claim in claims} | {str(claim.order[0]) for claim in claims}
    for number in wanted:
        if number not in known:
            raise BadInput(choices("claim", number, known))
    return [claim for claim in claims if claim.number in wanted or str(claim.order[0]) in wanted]


def run(claims: Iterable[Claim]) -> Iterator[Outcome]:
    """Compute each; what fails with an error of ours is an outcome too."""
    for claim in claims:
        start = time.perf_counter()
        ours, problem = None, ""
        try:
            with _threads(claim):
                ours = claim.compute()
        except ZeropointError as error:
            problem = str(error)
        yield Outcome(claim, ours, time.perf_counter() - start, problem)


@contextmanager
def _threads(claim: Claim) -> Iterator[None]:
    """One thread for what is small: it gains nothing from more, and waits for them where cores are busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(before if claim.is_slow else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
