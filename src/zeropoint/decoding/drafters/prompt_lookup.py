"""Prompt lookup: where the last tokens occurred before, the text may go on as it did there.

Saxena, "Prompt lookup decoding", 2023. It needs no second model, and pays where an answer repeats its prompt:
summaries, edits of code, questions about a document.
"""

from __future__ import annotations

from collections.abc import Sequence

from zeropoint.decoding.drafter import Draft, Drafter

__all__ = ["PromptLookup"]

_LENGTHS = (4, 3, 2)  # of the last tokens to find, the longest first


class PromptLookup(Drafter):
    """Continues after the latest earlier occurrence of the last four, three or two tokens."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # n-gram -> where its latest occurrence ends

    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens. An n-gram is indexed once a token follows it: it never finds itself."""
        for token in ids:
            end = len(self._ids)
            for n in _LENGTHS:
                if n <= end:
                    self._after[tuple(self._ids[end - n :])] = end
            self._ids.append(token)

    def propose(self, n: int) -> Draft:
        """What followed the latest occurrence of the longest n-gram that occurred before."""
        return self.propose_after((), n)

    def propose_after(self, more: Sequence[int], n: int) -> Draft:
        """As `propose`, if the text went on with these tokens, which are not remembered."""
        end = [*self._ids[-max(_LENGTHS) :], *more][-max(_LENGTHS) :]
        for length in _LENGTHS:
            start = self._after.get(tuple(end[-length:])) if length <= len(end) else None
            if start is not None:
                return Draft(self._ids[start : start + n], length)
        return Draft()
