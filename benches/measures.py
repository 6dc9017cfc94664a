"""What the benchmarks measure, and how two sides alternate."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from report import Row, make_row
from sides import random_prompt
from worker import Worker

__all__ = ["Measure", "bandwidth_of", "compare", "rows_of", "versions_of"]

PROMPT_TOGETHER = 16  # prompt tokens of each sequence in batched decode
NEW_TOKENS = {"decode": 32, "together": 16}
OURS = "zeropoint"
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

    def run(self, worker: Worker, seed: int, n_vocab: int) -> float:
        """Tokens per second. Decode uses the same prompt in every round, so that it is read only once."""
        if self.kind == "prefill":
            return self.n / worker.call("prefill", random_prompt(seed, self.n, n_vocab))
        if self.kind == "decode":
            prompt = random_prompt(self.n, self.n, n_vocab)
            return self.n_tokens / worker.call("decode", prompt, NEW_TOKENS["decode"])
        prompts = [random_prompt(1000 * seed + i, PROMPT_TOGETHER, n_vocab) for i in range(self.n)]
        return self.n_tokens / worker.call("decode_together", prompts, NEW_TOKENS["together"])


def compare(workers: dict[str, Worker], measures: list[Measure], rounds: int) -> Figures:
    """One figure per round for each (side, measurement), and bandwidth under "memory"; the order
    alternates."""
    figures: Figures = defaultdict(list)
    for round_ in range(-1, rounds):  # round -1 warms up and is not counted
        for measure in measures:
            if round_ < 0 and measure.kind == "prefill" and measure.n > 512:
                continue
            rates = {}
            for side in sorted(workers, reverse=round_ % 2 == 0):
                seed = 100 * (round_ + 1) + measure.n
                rates[side] = measure.run(workers[side], seed, workers[OURS].about["n_vocab"])
            if round_ >= 0:
                for side, rate in rates.items():
                    figures[side, measure.name].append(rate)
                if measure.kind == "decode":
                    figures["memory", measure.name].append(workers[OURS].call("bandwidth"))
    return figures


def rows_of(
    figures: Figures, measures: list[Measure], about: dict[str, Any], peer_side: str, prefix: str = ""
) -> Iterator[Row]:
    """One row for each measurement; decode has its share of the bandwidth limit."""
    for measure in measures:
        read = about["weight_bytes"] + about["cache_bytes_a_position"] * measure.n_positions
        bandwidths = figures.get(("memory", measure.name), [])
        ours, peer = (figures.get((side, measure.name), []) for side in (OURS, peer_side))
        yield make_row(prefix + measure.name, ours, peer, "tok/s", [b / read for b in bandwidths])


def bandwidth_of(figures: Figures) -> dict[str, object]:
    """For the heading: the median of all measured bandwidths."""
    measured = sorted(b for (side, _), values in figures.items() if side == "memory" for b in values)
    return {"memory_gb_s": round(measured[len(measured) // 2] / 1e9, 1)} if measured else {}


def versions_of(workers: dict[str, Worker]) -> dict[str, str]:
    """For the heading: each side's version and instruction set."""
    return {w.about["name"]: f"{w.about['version']} {w.about['isa']}".strip() for w in workers.values()}
