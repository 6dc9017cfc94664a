"""The word tokenizer: every word and every mark of a text that occurs often enough is a token.

As in "The Annotated Transformer", which numbers the words that occur at least twice and reads all others as
one unknown token. Its words come from spaCy; these are runs of letters and digits, with apostrophes and
hyphens inside, and single marks. What it loses is seen at once: a word it does not know cannot be written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["WordTokenizer", "train_words"]

KIND = "zeropoint.words"
SPECIALS = ("<blank>", "<s>", "</s>", "<unk>")  # as the article names them
_WORD = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_CLOSING = re.compile(r" ([.,!?;:)\]}%…”])")
_OPENING = re.compile(r"([(\[{“„]) ")


@frozen
class WordTokenizer:
    """words: by id, of which the first four are the specials: padding, beginning, end, unknown."""

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
        """One id a word or mark; no text becomes a special but the unknown one."""
        return [self._ids.get(word, self.unk_id) for word in _WORD.findall(check_unicode(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """The words with spaces between them, marks at the word they belong to; of the specials only unknown.

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
        """Write a JSON file that `load` reads."""
        path.write_bytes(self.content())

    def content(self) -> bytes:
        """That file's content."""
        return json.dumps({"kind": KIND, "words": self.words}, ensure_ascii=False).encode()

    @classmethod
    def load(cls, path: Path) -> WordTokenizer:
        """Read what `save` wrote. Raises BadModelFile naming the file and what is wrong with it."""
        try:
            content: Any = json.loads(path.read_text("utf-8"))
            if not isinstance(content, dict) or content.get("kind") != KIND:
                raise ValueError(f"`kind` must be {KIND!r}")
            words = content.get("words")
            if not isinstance(words, list) or tuple(words[:4]) != SPECIALS:
                raise ValueError(f"`words` must be a list that begins with {', '.join(SPECIALS)}")
            if len({check_unicode(word, "a word") for word in words}) != len(words):
                raise ValueError("`words` must all be different")
        except (OSError, ValueError, RecursionError, BadInput) as failure:
            raise BadModelFile(f"{path}: no word tokenizer: {failure}") from None
        return cls(tuple(words))


def train_words(texts: Iterable[str], least: int = 2) -> WordTokenizer:
    """The words of `texts` that occur at least so often, the most frequent first, of equals by alphabet.

    Raises BadInput where none does.
    """
    counts = Counter(word for text in texts for word in _WORD.findall(check_unicode(text)))
    kept = sorted((w for w, n in counts.items() if n >= least), key=lambda word: (-counts[word], word))
    if not kept:
        raise BadInput(f"no word occurs {least} times or more; give more text or a smaller least count")
    return WordTokenizer((*SPECIALS, *kept))
