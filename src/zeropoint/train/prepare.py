"""What a run needs before its first step: batches of both splits, a tokenizer, a blueprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from zeropoint.blueprint import Blueprint
from zeropoint.data.batches import Batches, RandomWindows
from zeropoint.errors import BadInput, choices
from zeropoint.tokenizers.bpe import train_bpe
from zeropoint.tokenizers.char import KIND, CharTokenizer, train_char
from zeropoint.tokenizers.files import tokenizer_json
from zeropoint.tokenizers.to_hf import hf_files
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

    sha256: of each source file, by name.
    """

    training: Batches
    validation: Batches
    blueprint: Blueprint
    tokenizer: TextTokenizer
    tokenizer_json: bytes
    sha256: Mapping[str, str]


def prepare(config: Config) -> Prepared:
    """Read the source, make or read the tokenizer, split, and size the model. Raises BadInput, DiskError."""
    name, content = _source(config.data.source)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name} is not UTF-8 (byte {error.start}); convert it to UTF-8") from None
    tokenizer, saved = _tokenizer(config, text, name)
    blueprint = blueprint_of(config.model, tokenizer.n_vocab)
    n_first = int(len(text) * (1 - config.data.validation))
    n_ctx = config.data.n_ctx or blueprint.n_ctx
    training, validation = (
        RandomWindows(_ids(tokenizer, part), n_ctx, config.train.batch_size, config.train.seed)
        for part in (text[:n_first], text[n_first:])
    )
    sha256 = {name: hashlib.sha256(content).hexdigest()}
    return Prepared(training, validation, blueprint, tokenizer, saved, sha256)


def _source(source: str) -> tuple[str, bytes]:
    """A name for messages, and the bytes."""
    if source == "harbour":
        return source, (files("zeropoint.data") / "harbour.txt").read_bytes()
    try:
        return source, Path(source).read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"data.source: {choices('data', source, ['harbour'])}; or give the path of a text"
        ) from None
    except OSError as error:
        raise BadInput(f"data.source: {source} cannot be read: {error.strerror}") from None


def _tokenizer(config: Config, text: str, name: str) -> tuple[TextTokenizer, bytes]:
    kind = config.data.tokenizer
    if kind == "characters":
        characters = train_char(text)
        saved = {"kind": KIND, "characters": "".join(characters.characters)}
        return characters, json.dumps(saved, ensure_ascii=False).encode()
    if kind == "bpe":
        trained = train_bpe(text, config.data.n_vocab, fast=True)
        tokenizer: Any = trained.tokenizer(name)
        metadata = SimpleNamespace(metadata=trained.metadata(), paths=[name])
        return tokenizer, hf_files(metadata, tokenizer, 0)["tokenizer.json"]
    path = Path(kind)
    return _read_tokenizer(path), path.read_bytes()


def _read_tokenizer(path: Path) -> TextTokenizer:
    if not path.is_file():
        raise BadInput(
            f"data.tokenizer: {choices('tokenizer', str(path), ['bpe', 'characters'])}; or the path of a "
            "tokenizer.json"
        )
    return CharTokenizer.load(path) if KIND in path.read_text("utf-8")[:200] else tokenizer_json(path)


def _ids(tokenizer: TextTokenizer, text: str) -> np.ndarray[Any, Any]:
    wide = np.uint16 if tokenizer.n_vocab <= 1 << 16 else np.uint32
    return np.array(tokenizer.encode(text), wide)
