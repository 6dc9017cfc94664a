"""How text becomes ids where a model learns: a tokenizer, its file, and the token that ends a document.

A tokenizer is trained on the text itself ("characters", "words", "bpe") or read from a file. It is kept as
one `tokenizer.json`: of characters and words in our own form, all others as Hugging Face writes them.
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
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.tokenizer import Tokenizer
from zeropoint.tokenizers.formats.from_run import END_TOKENS
from zeropoint.tokenizers.formats.to_hf import hf_tokenizer_files
from zeropoint.tokenizers.formats.vocab_files import load_gpt2_files, load_tokenizer_json
from zeropoint.tokenizers.train.bpe import END_OF_TEXT, train_bpe
from zeropoint.tokenizers.train.char import END_CHARACTER, CharTokenizer, train_char
from zeropoint.tokenizers.train.words import WordTokenizer, train_words

__all__ = ["KINDS", "TextCodec", "dtype_of", "load_codec", "train_codec"]

KINDS = ("characters", "words", "bpe")
_BPE_SAMPLE = 1 << 26  # characters that pairs are counted on; more of the same text changes little


@dataclass(frozen=True)
class TextCodec:
    """A tokenizer and the content of its file. end_id: stands after every document; None if there is none."""

    tokenizer: CharTokenizer | WordTokenizer | Tokenizer
    content: bytes
    end_id: int | None

    @property
    def n_vocab(self) -> int:
        """Number of tokens."""
        return self.tokenizer.n_vocab

    @property
    def begin_id(self) -> int | None:
        """What stands before an answer: a token for that, or the one that ends documents."""
        begin = None if isinstance(self.tokenizer, CharTokenizer) else self.tokenizer.bos_id
        return self.end_id if begin is None else begin

    @property
    def mask_id(self) -> int:
        """What hides a token where one is to be guessed; past the vocabulary where that has none for it."""
        mask = self.tokenizer.mask_id if isinstance(self.tokenizer, Tokenizer) else None
        return self.n_vocab if mask is None else mask

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens that no text becomes."""
        if isinstance(self.tokenizer, Tokenizer):
            return frozenset(self.tokenizer.control_ids)
        ends = {self.begin_id, self.end_id, getattr(self.tokenizer, "pad_id", None)}
        return frozenset(index for index in ends if index is not None)

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """What an id is stored in."""
        return dtype_of(self.n_vocab)

    @functools.cached_property
    def sha256(self) -> str:
        """Of the file, in hex."""
        return hashlib.sha256(self.content).hexdigest()

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Raises BadInput, for one, on a character that the vocabulary lacks."""
        return self.tokenizer.encode(text)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids. Raises BadInput on one outside the vocabulary."""
        return self.tokenizer.decode(ids)

    def array(self, text: str, *, ends: bool, is_continuation: bool = False) -> NDArray[np.unsignedinteger]:
        """The ids of a text as they are stored. ends: with the token that ends a document, if there is one.

        is_continuation: the text continues other text, so it gets no space prefix.
        """
        if isinstance(self.tokenizer, Tokenizer):
            ids = self.tokenizer.encode(text, is_continuation=is_continuation)
        else:
            ids = self.tokenizer.encode(text)
        if ends and self.end_id is not None:
            ids.append(self.end_id)
        return np.array(ids, self.dtype)

    def save(self, path: Path) -> None:
        """Write the file that `load_coding` reads."""
        path.write_bytes(self.content)


def dtype_of(n_ids: int) -> np.dtype[np.unsignedinteger]:
    """What numbers below n_ids are stored in: uint16 where all fit, else uint32, little-endian."""
    return np.dtype("<u2" if n_ids <= 1 << 16 else "<u4")


def train_codec(kind: str, texts: Iterable[str], *, n_vocab: int, has_end: bool) -> TextCodec:
    """A tokenizer of the texts. has_end: whether documents are to end with a token of their own.

    n_vocab: for "bpe", the most tokens, 256 bytes and the end among them; "words" has all that occur twice.
    Raises BadInput.
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
    """The tokenizer in a file: ours of characters or words, Hugging Face's `tokenizer.json`, or a folder with
    one of these or with GPT-2's `encoder.json` and `vocab.bpe`.

    Raises BadInput naming the file and what is wrong with it.
    """
    if path.is_dir():
        if (path / "encoder.json").is_file():
            return _of_gpt2(path)
        path = path / "tokenizer.json"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BadInput(
            f"{choices('tokenizer', path, KINDS)}; or the path of a tokenizer.json, which this is not"
            f" ({error.strerror})"
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
    found: set[str] = set()
    for text in texts:
        found.update(check_unicode(text))
    if has_end:
        found.add(END_CHARACTER)
    tokenizer = train_char("".join(sorted(found)))
    return TextCodec(tokenizer, tokenizer.content(), tokenizer.end_id if has_end else None)


def _of_gpt2(folder: Path) -> TextCodec:
    tokenizer = load_gpt2_files(folder / "encoder.json", folder / "vocab.bpe")
    model = SimpleNamespace(metadata={"tokenizer.ggml.model": "gpt2"}, paths=[folder])
    return TextCodec(tokenizer, hf_tokenizer_files(model, tokenizer, 0)["tokenizer.json"], _end_of(tokenizer))


def _end_of(tokenizer: Tokenizer) -> int | None:
    if tokenizer.eos_id is not None:
        return tokenizer.eos_id
    named = {tokenizer.token_text(index): index for index in sorted(tokenizer.control_ids)}
    return next((named[text] for text in END_TOKENS if text in named), None)
