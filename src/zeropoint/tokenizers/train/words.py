"""The word tokenizer: every sufficiently frequent word or punctuation mark is a token.

As in "The Annotated Transformer", whose vocabulary is the words that occur at least twice; all others become
one unknown token. The article splits words with spaCy; here a word is a run of letters and digits with inner
apostrophes and hyphens, or a single mark. Its limitation: text with an unknown word cannot be reproduced.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.json_text import read_json
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["WordTokenizer", "train_words"]

KIND = "zeropoint.words"
SPECIAL_TOKENS = ("<blank>", "<s>", "</s>", "<unk>")  # the article's names
_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_CLOSING = re.compile(r" ([.,!?;:)\]}%…”])")
_OPENING = re.compile(r"([(\[{“„]) ")


@frozen
class WordTokenizer:
    """A word vocabulary. words: by id; the first four are the special tokens: padding, BOS, EOS, unknown."""

    words: tuple[str, ...]
    pad_id: int = 0
    bos_id: int = 1
    eos_id: int = 2
    unk_id: int = 3

    @property
    def n_vocab(self) -> int:
        """Number of tokens."""
        return len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: index for index, word in enumerate(self.words)}

    def encode(self, text: str) -> list[int]:
        """One id per word or mark; unknown is the only special token that text encodes to."""
        return [self._ids.get(word, self.unk_id) for word in _WORD.findall(check_unicode(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """The words separated by spaces, with punctuation attached; omits special tokens other than unknown.

        Raises BadInput on an id outside the vocabulary.
        """
        words = []
        for index in ids:
            if not 0 <= index < self.n_vocab:
                raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
            if index >= self.unk_id:
                words.append(self.words[index])
        return _OPENING.sub(r"\1", _CLOSING.sub(r"\1", " ".join(words)))

    def save(self, path: Path) -> None:
        """Write the JSON file that `load` reads. Raises BadInput, DiskError."""
        replace_file(path, self.content())

    def content(self) -> bytes:
        """The content of the file that `save` writes."""
        return json.dumps({"kind": KIND, "words": self.words}, ensure_ascii=False).encode()

    @classmethod
    def load(cls, path: Path) -> WordTokenizer:
        """Read a file written by `save`. Raises BadModelFile naming the file and the problem."""
        try:
            content = read_json(path, MAX_FILE_BYTES)
            if not isinstance(content, dict) or content.get("kind") != KIND:
                raise ValueError(f"`kind` must be {KIND!r}")
            words = content.get("words")
            if not isinstance(words, list) or tuple(words[:4]) != SPECIAL_TOKENS:
                raise ValueError(f"`words` must be a list that begins with {', '.join(SPECIAL_TOKENS)}")
            if len({check_unicode(word, "a word") for word in words}) != len(words):
                raise ValueError("`words` has duplicates")
        except (OSError, ValueError, BadInput) as failure:
            raise BadModelFile(f"{path} is not a word tokenizer: {failure}") from None
        return cls(tuple(words))


def train_words(texts: Iterable[str], min_count: int = 2) -> WordTokenizer:
    """A vocabulary of the words of `texts` that occur at least min_count times, most frequent first.

    Equally frequent words are in alphabetical order. Raises BadInput if no word occurs often enough.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(check_unicode(text)))
    frequent = [word for word, count in counts.items() if count >= min_count]
    if not frequent:
        raise BadInput(f"no word occurs at least {min_count} times; give more text or a smaller min_count")
    frequent.sort(key=lambda word: (-counts[word], word))
    return WordTokenizer((*SPECIAL_TOKENS, *frequent))
