"""What the benchmarks measure, and how the contestants alternate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from contestants import OURS, Contestant
from report import Row, make_row
from sides import random_prompt

__all__ = ["Measure", "bandwidth_of", "compare", "rows_of", "versions_of"]

PROMPT_TOGETHER = 16  # prompt tokens of each sequence in batched decode
NEW_TOKENS = {"decode": 32, "together": 16}
Figures = dict[tuple[str, str], list[float]]


@dataclass(frozen=True)
class Measure:
    """kind: prefill, decode or together. n: prompt tokens, or sequences for `together`."""

    kind: str
    n: int

    @property
    def name(self) -> str:
        return f"{self.kind}{self.n}"

    @property
    def n_tokens(self) -> int:
        """Tokens whose rate is measured."""
        return self.n if self.kind == "prefill" else NEW_TOKENS[self.kind] * self.n_prompts

    @property
    def n_prompts(self) -> int:
        return self.n if self.kind == "together" else 1

    @property
    def n_positions(self) -> int:
        """Cached positions of all sequences halfway through."""
        each = PROMPT_TOGETHER if self.kind == "together" else self.n
        return self.n_prompts * (each + NEW_TOKENS.get(self.kind, 0) // 2)

    def run(self, contestant: Contestant, seed: int, n_vocab: int) -> float:
        """Tokens per second. Decode uses the same prompt in every round, so that it is read only once."""
        worker = contestant.worker
        if contestant.settings:
            worker.call("configure", dict(contestant.settings))
        if self.kind == "prefill":
            return self.n / worker.call("prefill", random_prompt(seed, self.n, n_vocab))
        if self.kind == "decode":
            prompt = random_prompt(self.n, self.n, n_vocab)
            return self.n_tokens / worker.call("decode", prompt, NEW_TOKENS["decode"])
        prompts = [random_prompt(1000 * seed + i, PROMPT_TOGETHER, n_vocab) for i in range(self.n)]
        return self.n_tokens / worker.call("decode_together", prompts, NEW_TOKENS["together"])


def compare(contestants: Sequence[Contestant], measures: Sequence[Measure], rounds: int) -> Figures:
    """One figure per round for each (contestant, measurement), and bandwidth under "memory".

    The order reverses from round to round, so that a slow moment of the machine meets everybody.
    """
    figures: Figures = defaultdict(list)
    ours = next(c.worker for c in contestants if c.name == OURS)
    for round_ in range(-1, rounds):  # round -1 warms up and is not counted
        for measure in measures:
            if round_ < 0 and measure.kind == "prefill" and measure.n > 512:
                continue
            for contestant in contestants if round_ % 2 else reversed(contestants):
                if measure.kind not in contestant.kinds:
                    continue
                rate = measure.run(contestant, 100 * (round_ + 1) + measure.n, ours.about["n_vocab"])
                if round_ >= 0:
                    figures[contestant.name, measure.name].append(rate)
            if round_ >= 0 and measure.kind == "decode":
                figures["memory", measure.name].append(ours.call("bandwidth"))
    return figures


def rows_of(
    figures: Figures, measures: Sequence[Measure], about: dict[str, Any], prefix: str = ""
) -> Iterator[Row]:
    """One row for each measurement: ours against the competitor with the highest median.

    Decode also has its share of the bandwidth limit.
    """
    for measure in measures:
        read = about["weight_bytes"] + about["cache_bytes_a_position"] * measure.n_positions
        bandwidths = figures.get(("memory", measure.name), [])
        peers = {
            name: rates
            for (name, measured), rates in figures.items()
            if measured == measure.name and name not in (OURS, "memory")
        }
        best = max(peers, key=lambda name: median(peers[name]), default="")
        yield make_row(
            prefix + measure.name,
            figures[OURS, measure.name],
            peers.get(best, []),
            "tok/s",
            [b / read for b in bandwidths],
            best,
            {name: median(rates) for name, rates in peers.items()},
        )


def bandwidth_of(figures: Figures) -> dict[str, object]:
    """For the heading: the median of all measured bandwidths."""
    measured = sorted(b for (name, _), values in figures.items() if name == "memory" for b in values)
    return {"memory_gb_s": round(measured[len(measured) // 2] / 1e9, 1)} if measured else {}


def versions_of(contestants: Sequence[Contestant]) -> dict[str, str]:
    """For the heading: each program's version and instruction set."""
    abouts = [contestant.worker.about for contestant in contestants]
    return {about["name"]: f"{about['version']} {about['isa']}".strip() for about in abouts}
