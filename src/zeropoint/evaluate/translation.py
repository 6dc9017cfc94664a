"""How well a run translates: BLEU on sentences it has not seen, for each search and each choice of weights.

Papineni et al., "BLEU", 2002, computed by sacrebleu (Post, 2018) on text as it is written, with its own
tokenisation, so that numbers can be compared; a row carries its signature.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.data.pairs import read_pairs
from zeropoint.data.parallel_corpus import find_parallel
from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput, choices
from zeropoint.train.config.config import read_run_config
from zeropoint.train.run.translator import open_translator
from zeropoint.weights.run_checkpoint import checkpoint_of

__all__ = ["Judged", "bleu", "judge", "judged_by"]


@dataclass(frozen=True)
class Judged:
    """weights: which; search: how; bleu: 0 to 100; seconds: for all n_pairs sentences."""

    weights: str
    search: str
    bleu: float
    signature: str
    n_pairs: int
    seconds: float


def bleu(answers: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """BLEU of a corpus, 0 to 100, and sacrebleu's signature. Raises BadInput where that is not installed."""
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise BadInput(
            "BLEU is computed by sacrebleu, which is not installed; run `pip install 'zeropoint[train]'`"
        ) from None
    if len(answers) != len(references) or not answers:
        raise BadInput(f"there are {len(answers)} answers to {len(references)} references; give one to each")
    metric = BLEU()
    score = metric.corpus_score(list(answers), [list(references)]).score
    return float(score), str(metric.get_signature())


def judged_by(run: Path, part: str) -> list[tuple[str, str]]:
    """The pairs of a part of the run's own data, as "test_2016_flickr". Raises BadInput listing its parts."""
    config = read_run_config(run)
    files = find_parallel(config.data.source, config.data.languages)
    if part not in files:
        raise BadInput(choices(f"part of {config.data.source}", part, files))
    return read_pairs(*files[part])


def judge(run: Path, pairs: Sequence[tuple[str, str]], beam: Beam, n_averaged: int = 5) -> Iterator[Judged]:
    """Greedy and beam search, with the last weights, the best, and the mean of the last n_averaged.

    Raises BadInput and BadModelFile as `open_translator` does.
    """
    latest, best = (checkpoint_of(run, which) for which in ("latest", "best"))
    chosen: list[tuple[str, int]] = [("latest", 1)]
    chosen += [("best", 1)] if best != latest else []
    chosen += [("latest", n_averaged)] if n_averaged > 1 else []
    sources, references = zip(*pairs, strict=True)
    for which, n in chosen:
        translator = open_translator(run, which, n)
        for search, spec in (("greedy", None), (f"beam {beam.n_beams}", beam)):
            started = time.monotonic()
            answers = translator.translate(sources, spec)
            seconds = time.monotonic() - started
            score, signature = bleu(answers, references)
            yield Judged(translator.name, search, score, signature, len(pairs), seconds)
