"""Train a byte-level BPE tokenizer: repeatedly merge the most frequent pair of adjacent tokens.

Sennrich et al. 2015 (https://arxiv.org/abs/1508.07909) over the bytes of pre-tokens, as in GPT-2. The text is
first split at special tokens, which take no part in counting or merging, then pre-tokenized.
Ties: among equally frequent pairs, merge the one with the lowest ids, left id first. The `tokenizers` library
has the same rule, so both ways to train learn the same merges, except for a token that two different pairs
spell ("a"+"bc", "ab"+"c"), whose counts the library tracks differently.
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
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.disk_errors import as_disk_error
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode, encode_byte_level
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.special_tokens import END_OF_TEXT
from zeropoint.tokenizers.formats.gguf import Tokenizer, load_tokenizer

__all__ = ["END_OF_TEXT", "BPETokenizer", "pre_tokenize", "split_special_tokens", "train_bpe"]

Pair = tuple[str, str]
_CONTRACTION = re.compile(r"'(?:s|t|re|ve|m|ll|d)")
_WORD = re.compile(r" ?L+| ?N+| ?O+|[ S]+(?![LNO])|[ S]+")  # over character classes, see pre_tokenize


@frozen
class BPETokenizer:
    """A trained vocabulary.

    tokens: by id: 256 bytes, one per merge, then `special_tokens`. merges: pairs of tokens, in the order
    learned. special_tokens: never produced by encoding text.
    """

    tokens: tuple[str, ...]
    merges: tuple[Pair, ...]
    special_tokens: tuple[str, ...] = ()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, the readable way: apply the earliest learned merge in each word first."""
        ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        ids = {token: index for index, token in enumerate(self.tokens)}
        return [
            ids[token]
            for word in pre_tokenize(check_unicode(text))
            for token in merge_word(encode_byte_level(word.encode()), ranks)
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of `ids`; invalid UTF-8 becomes U+FFFD. Raises BadInput on an unknown id."""
        return self.tokenizer().decode(ids)

    def metadata(self) -> dict[str, Any]:
        """The `tokenizer.*` keys for a GGUF file; the first special token is both BOS and EOS."""
        n_ordinary = len(self.tokens) - len(self.special_tokens)
        metadata: dict[str, Any] = {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2",
            "tokenizer.ggml.tokens": list(self.tokens),
            "tokenizer.ggml.token_type": [1] * n_ordinary + [3] * len(self.special_tokens),
            "tokenizer.ggml.merges": [" ".join(pair) for pair in self.merges],
        }
        if self.special_tokens:
            keys = ("tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id")
            metadata |= dict.fromkeys(keys, n_ordinary)
        return metadata

    def tokenizer(self, name: str = "the trained vocabulary") -> Tokenizer:
        """The fast tokenizer for this vocabulary, the same class that a model file yields."""
        return load_tokenizer(SimpleNamespace(metadata=self.metadata(), paths=[name]))

    def save(self, folder: Path) -> None:
        """Write `encoder.json` and `vocab.bpe`, the format in which GPT-2 was published. Raises DiskError."""
        with as_disk_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        ids = {token: index for index, token in enumerate(self.tokens)}
        replace_file(folder / "encoder.json", json.dumps(ids).encode())
        lines = ["#version: 0.2", *(" ".join(pair) for pair in self.merges), ""]
        replace_file(folder / "vocab.bpe", "\n".join(lines).encode())


def train_bpe(
    text: str, n_vocab: int, *, fast: bool = False, special_tokens: Sequence[str] = (END_OF_TEXT,)
) -> BPETokenizer:
    """Train on `text`: at most n_vocab tokens, namely 256 bytes, merges, and the `special_tokens` last.

    A small text runs out of pairs earlier. A special token in the text separates documents: no merge crosses
    it and its bytes are not counted. fast: train with the `tokenizers` library.
    Raises BadInput if n_vocab is too small for the bytes and the special tokens.
    """
    check_unicode(text)
    n_special = len(special_tokens)
    n_ordinary = n_vocab - n_special
    if n_ordinary < 256 or len(set(special_tokens)) != n_special:
        raise BadInput(
            f"a vocabulary of {n_vocab} cannot hold 256 bytes and {n_special} distinct special tokens; "
            f"give at least {256 + len(set(special_tokens))}"
        )
    for token in special_tokens:
        if not check_unicode(token, "a special token"):
            raise BadInput("a special token is empty; give at least one character")
    documents = split_special_tokens(text, special_tokens)
    if fast:
        merges = _learn_merges_fast(documents, n_ordinary)
    else:
        counts = Counter(word for document in documents for word in pre_tokenize(document))
        merges = learn_merges(counts, n_ordinary)
    tokens = dict.fromkeys([*bytes_to_unicode().values(), *(left + right for left, right in merges)])
    if clash := next((token for token in special_tokens if token in tokens), None):
        raise BadInput(f"the special token {clash!r} is also an ordinary token; choose another spelling")
    return BPETokenizer((*tokens, *special_tokens), tuple(merges), tuple(special_tokens))


def split_special_tokens(text: str, special_tokens: Sequence[str]) -> list[str]:
    """The parts of `text` between special tokens; where two match, the longer one wins."""
    if not special_tokens:
        return [text]
    longest_first = sorted(special_tokens, key=len, reverse=True)
    parts = re.split("|".join(map(re.escape, longest_first)), text)
    return [part for part in parts if part]


def learn_merges(counts: Mapping[str, int], n_tokens: int) -> list[Pair]:
    """Learn merges until there are n_tokens tokens or no pair remains. counts: occurrences of each word."""
    ids = {token: index for index, token in enumerate(bytes_to_unicode().values())}
    words = [(encode_byte_level(word.encode()), count) for word, count in counts.items()]
    pair_counts: Counter[Pair] = Counter()
    words_with: dict[Pair, set[int]] = {}  # indices of words that may contain the pair
    for index, (word, count) in enumerate(words):
        for pair in itertools.pairwise(word):
            pair_counts[pair] += count
            words_with.setdefault(pair, set()).add(index)
    merges: list[Pair] = []
    while len(ids) < n_tokens and pair_counts:
        best = min(pair_counts, key=lambda pair: (-pair_counts[pair], ids[pair[0]], ids[pair[1]]))
        merges.append(best)
        ids.setdefault(best[0] + best[1], len(ids))
        for index in words_with.pop(best):
            word, count = words[index]
            merged = merge_pair(word, best)
            words[index] = merged, count
            pair_counts.subtract({pair: n * count for pair, n in Counter(itertools.pairwise(word)).items()})
            for pair in itertools.pairwise(merged):
                pair_counts[pair] += count
                words_with.setdefault(pair, set()).add(index)
        pair_counts = +pair_counts  # drop pairs that no longer occur
    return merges


def merge_pair(word: Sequence[str], pair: Pair) -> list[str]:
    """`word` with every occurrence of `pair` merged into one token, from left to right."""
    merged: list[str] = []
    at = 0
    while at < len(word):
        is_pair = tuple(word[at : at + 2]) == pair
        merged.append(pair[0] + pair[1] if is_pair else word[at])
        at += 2 if is_pair else 1
    return merged


def merge_word(word: list[str], ranks: Mapping[Pair, int]) -> list[str]:
    """The tokens of a word given as byte symbols: merge the pair of lowest rank until none has a rank."""
    while len(word) > 1:
        best = min(itertools.pairwise(word), key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        word = merge_pair(word, best)
    return word


def pre_tokenize(text: str) -> Iterator[str]:
    r"""Split `text` into words with GPT-2's pattern:

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    Python's `re` lacks \p{L}, so the pattern runs over a string of character classes.
    """
    classes = "".join(map(_character_class, text))
    at = 0
    while at < len(text):
        match = _CONTRACTION.match(text, at) or _WORD.match(classes, at)
        end = match.end() if match else at + 1
        yield text[at:end]
        at = end


def _character_class(character: str) -> str:
    """L for a letter, N for a number, S for white space (" " for the ordinary space), O for the rest."""
    if character.isspace():
        is_separator = "\x1c" <= character <= "\x1f"  # white space to Python but not to Unicode
        return "O" if is_separator else " " if character == " " else "S"
    category = unicodedata.category(character)[0]
    return category if category in "LN" else "O"


def _learn_merges_fast(documents: Sequence[str], n_tokens: int) -> list[Pair]:
    from tokenizers import Tokenizer as HfTokenizer
    from tokenizers import models, pre_tokenizers, trainers

    tokenizer = HfTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = list(bytes_to_unicode().values())
    trainer = trainers.BpeTrainer(vocab_size=n_tokens, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(documents, trainer)
    return [(left, right) for left, right in json.loads(tokenizer.to_str())["model"]["merges"]]
