"""A suffix automaton: the longest end of the text that occurred before, and what followed there.

Hu et al., "SAM decoding: speculative decoding via suffix automaton", 2024. Prompt lookup finds the last four
tokens; the automaton finds the longest match of any length, in constant time per token (Blumer et al., "The
smallest automaton recognizing the subwords of a text", 1985). A long match is a good reason for long guesses.
"""

from __future__ import annotations

from collections.abc import Sequence

from zeropoint.decoding.drafter import Draft, Drafter

__all__ = ["SuffixAutomaton"]

_MIN_MATCH = 2  # tokens; a single one says too little


class SuffixAutomaton(Drafter):
    """Continues after the earlier occurrence of the longest repeated end of the text.

    State s stands for all substrings that end at the same places of the text: the longest has `_length[s]`
    tokens, `_end[s]` is the latest place that was noted, `_link[s]` the state of the longest suffix that also
    ends elsewhere, and `_next[s]` what follows.
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._next: list[dict[int, int]] = [{}]
        self._link, self._length, self._end = [-1], [0], [0]
        self._last = 0  # the state of the whole text
        self._match, self._n_matched = 0, 0  # the longest end that occurred before, and its length
        self._previous_end = 0  # where it occurred

    def extend(self, ids: Sequence[int]) -> None:
        """Append tokens: first continue the match in the text before, then add the token to the automaton."""
        for token in ids:
            self._follow(token)
            self._add(token)
            self._end[self._match] = len(self._ids)

    def propose(self, n: int) -> Draft:
        """What followed the earlier occurrence."""
        if self._n_matched < _MIN_MATCH:
            return Draft()
        start = self._previous_end
        return Draft(self._ids[start : start + n], self._n_matched)

    def _follow(self, token: int) -> None:
        """Lengthen the match by a token, or shorten it until it can be."""
        while self._match and token not in self._next[self._match]:
            self._match = self._link[self._match]
            self._n_matched = self._length[self._match]
        if token in self._next[self._match]:
            self._match = self._next[self._match][token]
            self._n_matched += 1
        self._previous_end = self._end[self._match]

    def _add(self, token: int) -> None:
        """Blumer et al.'s online construction."""
        self._ids.append(token)
        state = self._new_state({}, 0, self._length[self._last] + 1, len(self._ids))
        at = self._last
        while at >= 0 and token not in self._next[at]:
            self._next[at][token] = state
            at = self._link[at]
        self._last = state
        if at < 0:
            return
        other = self._next[at][token]
        if self._length[at] + 1 == self._length[other]:
            self._link[state] = other
            return
        clone = self._new_state(
            dict(self._next[other]), self._link[other], self._length[at] + 1, self._end[other]
        )
        while at >= 0 and self._next[at].get(token) == other:
            self._next[at][token] = clone
            at = self._link[at]
        self._link[other] = self._link[state] = clone
        if self._match == other and self._n_matched <= self._length[clone]:
            self._match = clone

    def _new_state(self, following: dict[int, int], link: int, length: int, end: int) -> int:
        self._next.append(following)
        self._link.append(link)
        self._length.append(length)
        self._end.append(end)
        return len(self._next) - 1
