"""What a run needs before its first step: batches of both splits, a tokenizer, a blueprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches
from zeropoint.data.corpus import open_corpus
from zeropoint.data.tokenise import Settings
from zeropoint.train.config import Config
from zeropoint.train.model import blueprint_of

__all__ = ["Prepared", "TextTokenizer", "prepare"]


class TextTokenizer(Protocol):
    """What turns text into ids and back."""

    @property
    def n_vocab(self) -> int: ...

    def encode(self, text: str) -> list[int]: ...

    def decode(self, ids: Iterable[int]) -> str: ...


@dataclass(frozen=True, eq=False)
class Prepared:
    """training, validation: what is learned and what is judged by. tokenizer_json: its file's content.

    sha256: of what was read, by name.
    """

    training: Batches
    validation: Batches
    blueprint: Blueprint
    tokenizer: TextTokenizer
    tokenizer_json: bytes
    sha256: Mapping[str, str]


def prepare(config: Config, notice: Callable[[str], None] = lambda text: None) -> Prepared:
    """Read the source, make or read the tokenizer, split, and size the model.

    Raises BadInput naming the file or field, NetworkError, DiskError.
    """
    data, train = config.data, config.train
    corpus = open_corpus(data.source, Settings(data.tokenizer, data.n_vocab, data.validation), notice=notice)
    blueprint = blueprint_of(config.model, corpus.coding.n_vocab)
    n_ctx = data.n_ctx or blueprint.n_ctx
    training, validation = corpus.batches(data.order, n_ctx=n_ctx, n_rows=train.batch_size, seed=train.seed)
    sha256 = {corpus.name: corpus.sha256}
    return Prepared(training, validation, blueprint, corpus.coding, corpus.coding.content, sha256)
