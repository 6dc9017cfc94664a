"""BLEU scores of a translator: each set of weights with greedy search and with beam search.

BLEU: Papineni et al., 2002. sacrebleu (Post, 2018) computes it on untokenized text with its own tokenization,
so that scores are comparable; each result carries its signature.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from zeropoint.decoding.beam import Beam
from zeropoint.errors import BadInput, not_installed

__all__ = ["BleuResult", "Translates", "bleu", "compare_search"]


class Translates(Protocol):
    """Anything that translates sentences, such as `decoding.translator.Translator`."""

    @property
    def name(self) -> str:
        """Which weights it uses."""

    def translate(self, texts: Sequence[str], beam: Beam | None = None) -> list[str]:
        """One translation per text; greedy search without a beam."""


@dataclass(frozen=True)
class BleuResult:
    """bleu: 0 to 100. weights, search: what was measured. seconds: time to translate all n_sentences."""

    weights: str
    search: str
    bleu: float
    signature: str
    n_sentences: int
    seconds: float

    def as_json(self) -> dict[str, object]:
        """The result, as `zeropoint translate --bleu --json` prints it."""
        return {
            "weights": self.weights,
            "search": self.search,
            "bleu": self.bleu,
            "sentences": self.n_sentences,
            "seconds": self.seconds,
            "signature": self.signature,
        }


def bleu(translations: Sequence[str], references: Sequence[str]) -> tuple[float, str]:
    """Corpus BLEU, 0 to 100, and sacrebleu's signature.

    Raises BadInput if sacrebleu is not installed or the two lists differ in length.
    """
    try:
        from sacrebleu.metrics.bleu import BLEU
    except ImportError:
        raise BadInput(not_installed("BLEU", "sacrebleu")) from None
    if len(translations) != len(references) or not translations:
        raise BadInput(
            f"there are {len(translations)} translations and {len(references)} references; "
            "give one reference per translation"
        )
    metric = BLEU()
    score = metric.corpus_score(list(translations), [list(references)]).score
    return float(score), str(metric.get_signature())


def compare_search(
    translators: Iterable[Translates], pairs: Sequence[tuple[str, str]], beam: Beam
) -> Iterator[BleuResult]:
    """Score each translator on (source, reference) pairs, with greedy search and with beam search."""
    sources, references = zip(*pairs, strict=True)
    for translator in translators:
        for search, spec in (("greedy", None), (f"beam {beam.n_beams}", beam)):
            start = time.monotonic()
            translations = translator.translate(sources, spec)
            seconds = time.monotonic() - start
            score, signature = bleu(translations, references)
            yield BleuResult(translator.name, search, score, signature, len(pairs), seconds)
