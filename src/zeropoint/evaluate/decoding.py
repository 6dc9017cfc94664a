"""How much each decoding method gains, by the kind of prompt: `zeropoint bench decoding`.

Every prompt is answered with every method in turn, in an order that changes from round to round, so that a
slow moment of the machine meets all of them. The figures are medians over rounds.
"""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zeropoint.decoding.decoded import Decoded
from zeropoint.decoding.speculator import OFF, Speculator
from zeropoint.engine.session.model import Model
from zeropoint.files.toml_text import read_toml

__all__ = ["READABLE", "DecodingGain", "measure_decoding", "read_prompts"]

READABLE = ("without-cache", "lookahead", "threshold", "contrastive")
"""Methods over a `Stepper` (`decoding/`), whose time includes reading the prompt."""

PROMPTS = Path(__file__).with_name("decoding_prompts.toml")


@dataclass
class DecodingGain:
    """One method on one category. speeds: tokens per second of each round, without the first token.

    n_drafted, n_accepted: guesses verified and accepted. n_rows: rows computed for n_tokens. is_identical:
    whether all answers are those of plain decoding.
    """

    method: str
    category: str
    speeds: list[float] = field(default_factory=list)
    n_drafted: int = 0
    n_accepted: int = 0
    n_tokens: int = 0
    n_rows: int = 0
    is_identical: bool = True

    @property
    def tok_s(self) -> float:
        """The median speed."""
        return statistics.median(self.speeds)

    @property
    def acceptance(self) -> float | None:
        """The share of guesses that were right; None without any."""
        return self.n_accepted / self.n_drafted if self.n_drafted else None

    @property
    def rows_per_token(self) -> float:
        """Rows that passes computed for each token of the answer: 1 without wasted guesses."""
        return self.n_rows / self.n_tokens


def read_prompts(path: Path = PROMPTS) -> dict[str, list[str]]:
    """The prompts of each category."""
    return {category: list(table["prompts"]) for category, table in read_toml(path).items()}


def measure_decoding(
    model: Model,
    methods: Sequence[str],
    prompts: Mapping[str, Sequence[str]],
    *,
    n_rounds: int,
    max_tokens: int,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> list[DecodingGain]:
    """One result for each category and method, plain decoding first. Answers are greedy."""
    names = [OFF, *(name for name in methods if name != OFF)]
    found = {(c, m): DecodingGain(m, c) for c in prompts for m in names}
    plain: dict[str, list[int]] = {}
    for round_ in range(n_rounds + 1):  # the first warms up: it measures the machine for the governor
        for category, texts in prompts.items():
            times: defaultdict[str, list[float]] = defaultdict(list)
            for text in texts:
                order = names[round_ % len(names) :] + names[: round_ % len(names)]
                for name in order:
                    seconds, ids = _answer(model, text, name, max_tokens, found[category, name], round_ > 0)
                    found[category, name].is_identical &= plain.setdefault(text, ids) == ids
                    times[name] += [len(ids) - 1, seconds]
            if round_ > 0:
                for name, values in times.items():
                    found[category, name].speeds.append(sum(values[::2]) / sum(values[1::2]))
        on_round(round_, n_rounds)
    return [found[key] for key in found]


def _decode_readable(model: Model, ids: Sequence[int], method: str, max_tokens: int) -> Decoded:
    """A method of `READABLE` over steppers of the native engine."""
    from zeropoint.decoding import contrastive, lookahead, threshold, without_cache

    n_layers = model.blueprint.n_layers
    if method == "without-cache":
        return without_cache.decode(model.stepper, ids, max_tokens)
    if method == "lookahead":
        return lookahead.decode(model.stepper(), ids, max_tokens)
    if method == "threshold":
        draft = model.draft_models.stepper(f"first-layers={max(1, n_layers * 2 // 3)}")
        return threshold.decode(model.stepper(), draft, ids, max_tokens)
    return contrastive.contrastive_search(model.engine, model.blueprint, ids, max_tokens)


def _answer_readable(
    model: Model, text: str, method: str, max_tokens: int, result: DecodingGain, counts: bool
) -> tuple[float, list[int]]:
    ids = model.encode_chat([{"role": "user", "content": text}])
    start = time.perf_counter()
    decoded = _decode_readable(model, ids, method, max_tokens)
    seconds = time.perf_counter() - start
    found = next((i for i, token in enumerate(decoded.ids) if token in model.tokenizer.stop_ids), max_tokens)
    if counts:
        result.n_tokens += len(decoded.ids)
        result.n_rows += decoded.n_rows - len(ids)
    return seconds, decoded.ids[:found]


def _answer(
    model: Model, text: str, method: str, max_tokens: int, result: DecodingGain, counts: bool
) -> tuple[float, list[int]]:
    if method in READABLE:
        return _answer_readable(model, text, method, max_tokens, result, counts)
    stream = model.chat(text, max_tokens=max_tokens, temperature=0, speculate=method)
    stream.text()
    if counts:
        result.n_tokens += len(stream.token_ids)
        result.n_rows += len(stream.token_ids)
        if isinstance(stream.method, Speculator):
            result.n_drafted += stream.method.n_drafted
            result.n_accepted += stream.method.n_accepted
            result.n_rows += stream.method.n_drafted - stream.method.n_accepted
    return max(stream.timings.predicted_ms / 1000, 1e-9), stream.token_ids
