"""Byte-level byte pair encoding, trained on a text: merge the most frequent pair, again and again.

The algorithm of Sennrich et al. 2015 (https://arxiv.org/abs/1508.07909) over the bytes of words, as in
GPT-2. A byte is written as one printable character (GPT-2's alphabet, see `alphabet`).
Ties: of several pairs with the same count the one with the lowest ids is merged, left id first. That is
also the rule of the `tokenizers` library, so both ways to train give the same merges, but for one case:
a token that two different pairs spell ("a"+"bc", "ab"+"c"), whose counts the library keeps otherwise.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer

__all__ = ["BPETokenizer", "bytes_to_unicode", "pre_tokenize", "train_bpe"]

Pair = tuple[str, str]
_CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
_WORD = re.compile(r" ?L+| ?N+| ?O+|[ S]+(?![LNO])|[ S]+")  # over the kinds of the characters


@frozen
class BPETokenizer:
    """A trained vocabulary. tokens: by id, the 256 bytes, then one a merge, then `specials`.

    merges: pairs of tokens, in the order in which they were found. specials: tokens that no text becomes.
    """

    tokens: tuple[str, ...]
    merges: tuple[Pair, ...]
    specials: tuple[str, ...] = ()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, the readable way: in each word, the earliest merge of training first."""
        ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        ids = {token: index for index, token in enumerate(self.tokens)}
        return [
            ids[token]
            for word in pre_tokenize(check_unicode(text))
            for token in merge_word(byte_symbols(word.encode()), ranks)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises BadInput on an unknown id."""
        return self.tokenizer().decode(ids)

    def metadata(self) -> dict[str, Any]:
        """The `tokenizer.*` keys of a GGUF file with this vocabulary; the first special begins and ends."""
        n_plain = len(self.tokens) - len(self.specials)
        found: dict[str, Any] = {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": list(self.tokens),
            "tokenizer.ggml.token_type": [1] * n_plain + [3] * len(self.specials),
            "tokenizer.ggml.merges": [" ".join(pair) for pair in self.merges],
        }
        if self.specials:
            found |= dict.fromkeys(("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id"), n_plain)
        return found

    def tokenizer(self, name: str = "the trained vocabulary") -> Tokenizer:
        """The fast tokenizer over this vocabulary, the same class that a model file gives."""
        return load_tokenizer(SimpleNamespace(metadata=self.metadata(), paths=[name]))

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `vocab.bpe`, in the form that GPT-2 was published in."""
        folder.mkdir(parents=True, exist_ok=True)
        ids = {token: index for index, token in enumerate(self.tokens)}
        (folder / "encoder.json").write_text(json.dumps(ids), "utf-8")
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges), ""]
        (folder / "vocab.bpe").write_text("\n".join(lines), "utf-8")


def train_bpe(
    text: str, n_vocab: int, *, fast: bool = False, specials: Sequence[str] = ("<|endoftext|>",)
) -> BPETokenizer:
    """At most n_vocab tokens: 256 bytes, merges learned from `text`, and the `specials`, which come last.

    A small text runs out of pairs before. fast: train with the `tokenizers` library.
    Raises BadInput if n_vocab has no room for the bytes and the specials.
    """
    check_unicode(text)
    n_merged = n_vocab - len(specials)
    if n_merged < 256 or len(set(specials)) != len(specials):
        raise BadInput(
            f"{n_vocab} tokens have no room for 256 bytes and {len(specials)} different special tokens; "
            f"give at least {256 + len(set(specials))}"
        )
    merges = _learn_fast(text, n_merged) if fast else learn_merges(Counter(pre_tokenize(text)), n_merged)
    tokens = dict.fromkeys([*bytes_to_unicode().values(), *(left + right for left, right in merges)])
    for token in specials:
        if token in tokens or not check_unicode(token, "a special token"):
            raise BadInput(f"the special token {token!r} is empty or a token of the text; choose another")
    return BPETokenizer((*tokens, *specials), tuple(merges), tuple(specials))


def learn_merges(counts: Mapping[str, int], n_tokens: int) -> list[Pair]:
    """Merges until there are n_tokens tokens or no pair is left. counts: how often each word occurs."""
    ids = {token: index for index, token in enumerate(bytes_to_unicode().values())}
    spelled = [(byte_symbols(word.encode()), count) for word, count in counts.items()]
    pairs: Counter[Pair] = Counter()
    where: dict[Pair, set[int]] = {}  # words in which a pair may be
    for index, (word, count) in enumerate(spelled):
        for pair in itertools.pairwise(word):
            pairs[pair] += count
            where.setdefault(pair, set()).add(index)
    merges: list[Pair] = []
    while len(ids) < n_tokens and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        for index in where.pop(best):
            word, count = spelled[index]
            merged = merge_pair(word, best)
            spelled[index] = merged, count
            pairs.subtract({pair: n * count for pair, n in Counter(itertools.pairwise(word)).items()})
            for pair in itertools.pairwise(merged):
                pairs[pair] += count
                where.setdefault(pair, set()).add(index)
        pairs = +pairs  # drop what occurs no more
    return merges


def merge_pair(word: Sequence[str], pair: Pair) -> list[str]:
    """`word` with every occurrence of `pair` made one token, from the left."""
    merged: list[str] = []
    at = 0
    while at < len(word):
        is_pair = tuple(word[at : at + 2]) == pair
        merged.append(pair[0] + pair[1] if is_pair else word[at])
        at += 2 if is_pair else 1
    return merged


def merge_word(word: list[str], ranks: Mapping[Pair, int]) -> list[str]:
    """The tokens of a word given as letters: merge the pair of the lowest rank until none has one."""
    while len(word) > 1:
        best = min(itertools.pairwise(word), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        word = merge_pair(word, best)
    return word


def pre_tokenize(text: str) -> Iterator[str]:
    r"""Cut `text` by GPT-2's pattern:

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    Python's `re` has no \p{L}, so the pattern runs over a string of the characters' kinds.
    """
    kinds = "".join(map(_kind, text))
    at = 0
    while at < len(text):
        match = _CONTRACTION.match(text, at) or _WORD.match(kinds, at)
        end = match.end() if match else at + 1
        yield text[at:end]
        at = end


def _kind(character: str) -> str:
    """Letter, Number, Space (the ordinary one is itself) or Other."""
    if character.isspace():
        is_separator = "\x1c" <= character <= "\x1f"  # white space to Python, not to Unicode
        return "O" if is_separator else " " if character == " " else "S"
    first = unicodedata.category(character)[0]
    return first if first in "LN" else "O"


def bytes_to_unicode() -> dict[int, str]:
    """The character for each byte, in the order of ids: printable Latin-1 is itself, others U+0100 on."""
    printed = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printed]
    return {byte: chr(byte) for byte in printed} | {b: chr(256 + i) for i, b in enumerate(others)}


_LETTERS = bytes_to_unicode()


def byte_symbols(data: bytes) -> list[str]:
    """One letter of the alphabet a byte."""
    return [_LETTERS[byte] for byte in data]


def _learn_fast(text: str, n_tokens: int) -> list[Pair]:
    from tokenizers import Tokenizer as Library
    from tokenizers import models, pre_tokenizers, trainers

    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    letters = list(bytes_to_unicode().values())
    trainer = trainers.BpeTrainer(vocab_size=n_tokens, initial_alphabet=letters, show_progress=False)
    library.train_from_iterator([text], trainer)
    return [(left, right) for left, right in json.loads(library.to_str())["model"]["merges"]]
