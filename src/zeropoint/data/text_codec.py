"""The tokenizer of a training corpus, with its file and the token that ends a document.

A tokenizer is trained on the corpus ("characters", "words", "bpe") or loaded. It is stored as a single
`tokenizer.json`: in our own format for characters and words, in Hugging Face's for all others.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import BadInput, choices
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.regular_file import read_regular
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.special_tokens import end_of_document_id
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.tokenizers.formats.vocab_files import load_gpt2_files, load_tokenizer_json
from zeropoint.tokenizers.train.bpe import END_OF_TEXT, train_bpe
from zeropoint.tokenizers.train.char import END_CHARACTER, CharTokenizer, train_char
from zeropoint.tokenizers.train.words import WordTokenizer, train_words

__all__ = ["KINDS", "TextCodec", "dtype_of", "load_codec", "train_codec"]

KINDS = ("characters", "words", "bpe")
_BPE_SAMPLE = 1 << 26  # characters to train BPE on; more of the same text changes little


@dataclass(frozen=True)
class TextCodec:
    """A tokenizer and the content of its file. end_id: the token after every document, or None."""

    tokenizer: CharTokenizer | WordTokenizer | Tokenizer
    content: bytes
    end_id: int | None

    @property
    def n_vocab(self) -> int:
        """Size of the vocabulary."""
        return self.tokenizer.n_vocab

    @property
    def begin_id(self) -> int | None:
        """The token at the start of a target sequence: the tokenizer's BOS, or else `end_id`."""
        begin = None if isinstance(self.tokenizer, CharTokenizer) else self.tokenizer.bos_id
        return self.end_id if begin is None else begin

    @property
    def mask_id(self) -> int:
        """The mask token; n_vocab, an extra id, if the tokenizer has none."""
        mask = self.tokenizer.mask_id if isinstance(self.tokenizer, Tokenizer) else None
        return self.n_vocab if mask is None else mask

    @property
    def control_ids(self) -> frozenset[int]:
        """The ids of tokens that never encode text."""
        if isinstance(self.tokenizer, Tokenizer):
            return frozenset(self.tokenizer.control_ids)
        ends = {self.begin_id, self.end_id, getattr(self.tokenizer, "pad_id", None)}
        return frozenset(index for index in ends if index is not None)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """The type that stores an id."""
        return dtype_of(self.n_vocab)

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Raises BadInput, for example for a character outside the vocabulary."""
        return self.tokenizer.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Raises BadInput for an id outside the vocabulary."""
        return self.tokenizer.decode(ids)

    def array(
        self, text: str, *, has_end: bool, is_continuation: bool = False
    ) -> NDArray[np.unsignedinteger]:
        """The ids of a text as an array. has_end: append `end_id`, if there is one.

        is_continuation: the text continues other text, so the tokenizer adds no space before it.
        """
        if isinstance(self.tokenizer, Tokenizer):
            ids = self.tokenizer.encode(text, is_continuation=is_continuation)
        else:
            ids = self.tokenizer.encode(text)
        if has_end and self.end_id is not None:
            ids.append(self.end_id)
        return np.array(ids, self.dtype)

    def save(self, path: Path) -> None:
        """Write the file that `load_codec` reads. Raises BadInput, DiskError."""
        replace_file(path, self.content)


def dtype_of(n_ids: int) -> np.dtype[np.unsignedinteger]:
    """The type for ids below n_ids: uint16 if they fit, else uint32, little-endian."""
    return np.dtype("<u2" if n_ids <= 1 << 16 else "<u4")


def train_codec(kind: str, texts: Iterable[str], *, n_vocab: int, has_end: bool) -> TextCodec:
    """Train a tokenizer. has_end: whether to add a token that ends documents.

    n_vocab: for "bpe", the maximum vocabulary size, including 256 bytes and the end token; "words" has every
    word that occurs twice. Raises BadInput.
    """
    if kind == "characters":
        return _of_characters(texts, has_end)
    if kind == "words":
        words = train_words(texts)
        return TextCodec(words, words.content(), words.eos_id)
    if kind != "bpe":
        raise BadInput(choices("tokenizer", kind, KINDS) + "; or give the path of a tokenizer.json")
    sample, n_characters = [], 0
    for text in texts:
        sample.append(text)
        n_characters += len(text)
        if n_characters >= _BPE_SAMPLE:
            break
    # Training splits at END_OF_TEXT, so no merge crosses documents.
    trained = train_bpe(END_OF_TEXT.join(sample)[:_BPE_SAMPLE], n_vocab, fast=True)
    model = SimpleNamespace(metadata=trained.metadata(), paths=["the trained vocabulary"])
    tokenizer = trained.tokenizer()
    return TextCodec(tokenizer, hf_tokenizer_files(model, tokenizer, 0)["tokenizer.json"], tokenizer.eos_id)


def load_codec(path: Path) -> TextCodec:
    """Load a tokenizer from a file, or from a folder with one.

    Reads our formats for characters and words, Hugging Face's `tokenizer.json`, and GPT-2's `encoder.json`
    with `vocab.bpe`. Raises BadInput naming the file and the problem.
    """
    if path.is_dir():
        if (path / "encoder.json").is_file():
            return _of_gpt2(path)
        path = path / "tokenizer.json"
    try:
        content = read_regular(path, MAX_FILE_BYTES)
    except OSError as error:
        raise BadInput(
            f"{choices('tokenizer', path, KINDS)}; or give the path of a tokenizer.json (this one cannot be"
            f" read: {error.strerror})"
        ) from None
    if b'"zeropoint.char"' in content[:200]:
        characters = CharTokenizer.load(path)
        return TextCodec(characters, content, characters.end_id)
    if b'"zeropoint.words"' in content[:200]:
        words = WordTokenizer.load(path)
        return TextCodec(words, content, words.eos_id)
    tokenizer = load_tokenizer_json(path)
    return TextCodec(tokenizer, content, _end_of(tokenizer))


def _of_characters(texts: Iterable[str], has_end: bool) -> TextCodec:
    characters: set[str] = set()
    for text in texts:
        characters.update(check_unicode(text))
    if has_end:
        characters.add(END_CHARACTER)
    tokenizer = train_char("".join(sorted(characters)))
    return TextCodec(tokenizer, tokenizer.content(), tokenizer.end_id if has_end else None)


def _of_gpt2(folder: Path) -> TextCodec:
    tokenizer = load_gpt2_files(folder / "encoder.json", folder / "vocab.bpe")
    model = SimpleNamespace(metadata={"tokenizer.ggml.model": "gpt2"}, paths=[folder])
    return TextCodec(tokenizer, hf_tokenizer_files(model, tokenizer, 0)["tokenizer.json"], _end_of(tokenizer))


def _end_of(tokenizer: Tokenizer) -> int | None:
    if tokenizer.eos_id is not None:
        return tokenizer.eos_id
    named = {tokenizer.token_text(index): index for index in sorted(tokenizer.control_ids)}
    return end_of_document_id(named)
