"""When speculation pays: how many guesses to verify, from what a row costs here and how many were right.

A pass over r rows takes about a + b r seconds. Both are measured as the engine works: b is small where
memory limits decoding, and large where arithmetic does. With the chance p that a guess is right, k guesses
give 1 + p + ... + p^k tokens (Leviathan et al., 2023, equation 1). The governor takes the k with the most
tokens per second, and 0 where none is faster than plain decoding.
"""

from __future__ import annotations

from zeropoint.decoding.drafter import MODEL_MATCH, Draft

__all__ = ["Governor", "PassCosts"]

MAX_GUESSES = 16
_MAX_DRAFT = 8  # guesses of a draft model, which become less certain one after another
_FORGET = 0.98  # weight of the guesses so far at each new one: about the last fifty count
_SCALE_RATE, _COST_RATE = 0.2, 0.03  # how far a measurement moves the scale, and the cost of its rows
_REFRESH = 32  # measurements after which the curve is computed again
_ROW_SHARE = 0.5  # of a pass of one row that each further row costs, until it is measured
_MIN_GAIN = 1.05  # expected speed over plain decoding that makes a guess worth it
_PROBE_EVERY = 64  # declined drafts before one is verified to see whether guesses have become better

# The chance that a guess is right, by the length of its match, or of a draft model's guess: as if
# _PRIOR_WEIGHT guesses had been seen.
_PRIORS = ((16, 0.9), (8, 0.8), (4, 0.6), (3, 0.5), (0, 0.35), (MODEL_MATCH, 0.7))
_PRIOR_WEIGHT = 6.0


class PassCosts:
    """What a forward pass costs by its rows, measured as the engine works; shared by all its requests.

    A pass over a long context takes longer whatever its rows, so costs are relative: each measurement is
    divided by a quickly moving scale, and moves the cost of its number of rows slowly.
    """

    def __init__(self) -> None:
        self._cost: dict[int, float] = {}  # rows -> relative cost
        self._scale = 0.0  # seconds of a pass of cost 1, now
        self._curve: list[float] = []  # costs of 0, 1, 2, ... rows
        self._n_fresh = 0  # measurements since the curve was computed

    def observe(self, n_rows: int, seconds: float) -> None:
        """A pass of n_rows took this long."""
        known = self._cost.get(n_rows)
        if known is None:
            self._scale = self._scale or seconds
            self._cost[n_rows] = seconds / self._scale
            self._n_fresh = _REFRESH
        else:
            # A pass that was interrupted is many times as long. It must not count for more than a slow one.
            relative = min(seconds / (self._scale * known), 2.0)
            self._scale *= 1 + _SCALE_RATE * (relative - 1)
            if n_rows != min(self._cost):  # that of the fewest rows stays 1: the others are relative to it
                self._cost[n_rows] = known * (1 + _COST_RATE * (relative - 1))
        self._n_fresh += 1

    def curve(self, n_rows: int) -> list[float]:
        """Relative costs of passes of 0 to at least n_rows rows; interpolated where not measured."""
        if self._n_fresh >= _REFRESH or len(self._curve) <= n_rows:
            self._curve = [self._between(rows) for rows in range(n_rows + MAX_GUESSES + 1)]
            self._n_fresh = 0
        return self._curve

    def relative(self, seconds: float) -> float:
        """A time as a share of a pass of one row; 0 before any pass was measured."""
        return seconds / self._scale if self._scale else 0.0

    def _between(self, n_rows: int) -> float:
        if n_rows in self._cost:
            return self._cost[n_rows]
        below = max((rows for rows in self._cost if rows < n_rows), default=None)
        above = min((rows for rows in self._cost if rows > n_rows), default=None)
        if below is not None and above is not None:
            share = (n_rows - below) / (above - below)
            return self._cost[below] + share * (self._cost[above] - self._cost[below])
        if below is None and above is None:
            return 1 + _ROW_SHARE * (n_rows - 1)
        # Beyond: each row costs as much as those measured did on average, or a share of the first.
        outer = above if below is None else below
        at = self._cost[outer or 1]
        inner = min(self._cost) if below is not None and len(self._cost) > 1 else None
        if inner is not None and outer is not None:
            each = (at - self._cost[inner]) / (outer - inner)
        else:
            each = at * _ROW_SHARE / (1 + _ROW_SHARE * ((outer or 1) - 1))
        return max(at + each * (n_rows - (outer or 1)), 0.01)


class Governor:
    """Chooses the number of guesses of one request."""

    def __init__(self, costs: PassCosts) -> None:
        self._costs = costs
        self._counts = {least: [p * _PRIOR_WEIGHT, _PRIOR_WEIGHT] for least, p in _PRIORS}
        self._n_declined, self._next_probe = 0, _PROBE_EVERY

    def choose(self, draft: Draft, n_others: int = 0) -> int:
        """How many of the guesses to verify, in a pass that has n_others rows for other requests."""
        if not draft.tokens:
            return 0
        return self._best(draft.n_matched, len(draft.tokens), n_others, 0.0)

    def n_to_draft(self, n_others: int, seconds_per_guess: float) -> int:
        """How many guesses of a draft model to ask for, given what they cost."""
        return self._best(MODEL_MATCH, _MAX_DRAFT, n_others, self._costs.relative(seconds_per_guess))

    def _best(self, n_matched: int, n_guesses: int, n_others: int, guess_cost: float) -> int:
        """The number of guesses with the most tokens per second."""
        right, seen = self._counts[_bucket(n_matched)]
        costs = self._costs.curve(n_others + 1 + n_guesses)
        p, chance, n_tokens = right / seen, 1.0, float(n_others + 1)
        best, best_rate = 0, _MIN_GAIN * n_tokens / costs[n_others + 1]
        for k in range(1, n_guesses + 1):
            chance *= p
            n_tokens += chance
            rate = n_tokens / (costs[n_others + 1 + k] + k * guess_cost)
            if rate > best_rate:
                best, best_rate = k, rate
        if best:
            return best
        self._n_declined += 1
        if self._n_declined < self._next_probe:
            return 0
        # A probe of a draft model costs much: it must read what it missed. So these become rare.
        self._next_probe = self._n_declined * 2 if guess_cost else self._n_declined + _PROBE_EVERY
        return min(2, n_guesses)

    def observe(self, draft: Draft, n_verified: int, n_right: int) -> None:
        """The first n_right of n_verified guesses were right, and the next one, if any, was wrong."""
        counts = self._counts[_bucket(draft.n_matched)]
        counts[0] = counts[0] * _FORGET**n_verified + n_right
        counts[1] = counts[1] * _FORGET**n_verified + min(n_right + 1, n_verified)


def _bucket(n_matched: int) -> int:
    return next(least for least, _ in _PRIORS if n_matched >= least)
