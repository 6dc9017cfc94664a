"""Token ids from text and back, over one vocabulary.

The byte-pair encoding itself is Hugging Face `tokenizers`; this class decides what is text and what is
control: `encode(text)` never yields a control token, whatever the text spells.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.character_vocab import check_characters
from zeropoint.tokenizers.core.sanitize import check_unicode, printable
from zeropoint.tokenizers.core.vocabulary import SPACE, USER_DEFINED, Vocabulary

if TYPE_CHECKING:
    import tokenizers

# The library keeps about 300 bytes a token and 16 a byte of text, so a long text goes through in parts.
_PART = 1 << 16  # characters after which a place to cut is looked for
_LONGEST_PART = 1 << 18  # characters after which a text without any such place is cut all the same
_CUT = re.compile(r"(?<=\S) ")  # no word reaches over this (see pretokenizers.toml)


@frozen
class Encoders:
    """The library's objects over one shared vocabulary.

    plain: leaves control tokens as text; full: takes them as tokens; inside: as plain, for text that is not
    the start of a document (no space is put before it); scanner: finds added tokens. restarts: text after an
    added token is encoded as a document is, with a space before it. alphabet: the only characters there are.
    """

    plain: tokenizers.Tokenizer
    full: tokenizers.Tokenizer
    inside: tokenizers.Tokenizer
    scanner: tokenizers.Tokenizer
    restarts: bool = False
    alphabet: frozenset[str] | None = None


class Tokenizer:
    """Encodes and decodes; built by `load_tokenizer`.

    n_vocab: number of tokens. bos_id, eos_id, eot_id, eom_id, unk_id, pad_id: None where the model has
    none; sep_id, mask_id: BERT's. stop_ids: tokens that end an answer. control_ids: tokens that no text
    becomes (but for BERT's unknown word).
    add_bos: whether a document begins with bos_id (the caller puts it there; templates write it).
    add_sep: whether sep_id ends it (see bert.document).
    """

    def __init__(
        self, vocabulary: Vocabulary, encoders: Encoders, spell: Callable[[str], bytes], add_bos: bool
    ) -> None:
        self._vocabulary = vocabulary
        self._encoders = encoders
        self._spell = spell
        self._spelled: dict[int, bytes] = {}
        self._added: dict[str, list[str]] | None = None
        self._cuts_at_spaces: bool | None = None
        self.n_vocab = len(vocabulary.tokens)
        self.add_bos = add_bos and "bos" in vocabulary.special
        self.bos_id = vocabulary.special.get("bos")
        self.eos_id = vocabulary.special.get("eos")
        self.eot_id = vocabulary.special.get("eot")
        self.eom_id = vocabulary.special.get("eom")
        self.unk_id = vocabulary.special.get("unk")
        self.pad_id = vocabulary.special.get("pad")
        self.sep_id = vocabulary.special.get("sep")
        self.mask_id = vocabulary.special.get("mask")
        self.add_sep = vocabulary.add_sep
        self.stop_ids = vocabulary.stop_ids()
        self.control_ids = vocabulary.control_ids

    @property
    def library(self) -> tokenizers.Tokenizer:
        """Hugging Face's object that takes control tokens as such: to be copied, not changed."""
        return self._encoders.full

    @property
    def space_prefix(self) -> bool:
        """Whether a document's first word is encoded as if a space stood before it."""
        return self._vocabulary.add_space_prefix

    @property
    def restarts(self) -> bool:
        """Whether the first word after a control token is encoded like that of a document."""
        return self._encoders.restarts

    def encode(self, text: str, *, specials: bool = False, inside: bool = False) -> list[int]:
        """Token ids of `text`, without bos. Raises BadInput on text that is not valid Unicode, and on
        a character that a vocabulary of characters lacks.

        specials: take spelled control tokens as such (only for a rendered template); else they are text.
        inside: the text follows other text, so no space is put before it.
        """
        check_unicode(text)
        if self._encoders.alphabet is not None:
            check_characters(text, self._encoders.alphabet)
        ids: list[int] = []
        start = 0
        while start < len(text):
            end = self._part_end(text, start)
            part = text if end - start == len(text) else text[start:end]
            ids += self._encode_part(part, specials, inside or start > 0)
            start = end
        return ids

    def _encode_part(self, text: str, specials: bool, inside: bool) -> list[int]:
        kinds = self._encoders
        encoder = kinds.full if specials else kinds.plain
        try:
            if not inside or kinds.inside is kinds.plain:
                return list(encoder.encode(text, add_special_tokens=False).ids)
            end = self._first_added(text, specials)
            ids = list(kinds.inside.encode(text[:end], add_special_tokens=False).ids)
            return ids + list(encoder.encode(text[end:], add_special_tokens=False).ids)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as failure:  # a panic in Rust is not an Exception
            raise BadInput(f"the text could not be encoded: {printable(str(failure))}") from None

    def _first_added(self, text: str, specials: bool) -> int:
        """Where the first added token begins (with specials a control token too), else the text's end."""
        found = self._encoders.scanner.encode(text, add_special_tokens=False)
        for (start, _), token in zip(found.offsets, found.tokens, strict=True):
            index = self._vocabulary.ids.get(token)
            if index is not None and (specials or index not in self.control_ids):
                return start
        return len(text)

    def control_spans(self, text: str) -> list[tuple[int, int, int]]:
        """(start, end, id) of every control token spelled in `text`, as encode(specials=True) takes them."""
        found = self._encoders.scanner.encode(check_unicode(text), add_special_tokens=False)
        spans = zip(found.offsets, found.tokens, strict=True)
        ids = self._vocabulary.ids
        return [
            (start, end, ids[token]) for (start, end), token in spans if ids.get(token) in self.control_ids
        ]

    @functools.cached_property
    def control_texts(self) -> tuple[str, ...]:
        """How the vocabulary spells its control tokens, in the order of their ids."""
        return tuple(self._vocabulary.tokens[index] for index in sorted(self.control_ids))

    def decode(self, ids: Iterable[int], *, skip_special: bool = False, inside: bool = False) -> str:
        """Text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises BadInput on an unknown id.

        skip_special: leave control tokens out. inside: the ids follow others, so a leading space is kept.
        """
        pieces = [
            self.token_bytes(index) for index in ids if not (skip_special and index in self.control_ids)
        ]
        text = b"".join(pieces).decode("utf-8", "replace")
        return text[1:] if self.space_prefix and not inside and text.startswith(" ") else text

    def token_bytes(self, index: int) -> bytes:
        """The bytes that one token stands for. Raises BadInput on an id outside the vocabulary."""
        index = self._checked(index)
        known = self._spelled.get(index)
        if known is not None:
            return known
        vocabulary = self._vocabulary
        token = vocabulary.tokens[index]
        if index in vocabulary.byte_ids:
            spelled = bytes([vocabulary.byte_ids[index]])
        elif index in self.control_ids or vocabulary.types[index] == USER_DEFINED:
            spelled = token.encode()
        else:
            spelled = self._spell(token)
        self._spelled[index] = spelled
        return spelled

    def _checked(self, index: int) -> int:
        try:
            index = operator.index(index)
        except TypeError:
            raise BadInput(f"a token id must be an integer, not {type(index).__name__}") from None
        if not 0 <= index < self.n_vocab:
            raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
        return index

    def token_text(self, index: int | None) -> str:
        """A token as the vocabulary spells it ("" for None), for templates: `<|im_end|>`."""
        return "" if index is None else self._vocabulary.tokens[index]

    def _part_end(self, text: str, start: int) -> int:
        """Where to end the part of `text` that begins at `start`: inside no word and no added token."""
        if len(text) - start <= _PART:
            return len(text)
        end = min(start + _LONGEST_PART, len(text))
        if self._can_cut_at_spaces():
            space = _CUT.search(text, start + _PART, end)
            end = space.start() if space else end
        return self._token_start(text, end, start)

    def _can_cut_at_spaces(self) -> bool:
        """Whether no token reaches over the start of a word (SentencePiece can be trained otherwise)."""
        if self._cuts_at_spaces is None:
            tokens = self._vocabulary.tokens if self._vocabulary.kind == "llama" else []
            self._cuts_at_spaces = not any(SPACE in token.lstrip(SPACE) for token in tokens)
        return self._cuts_at_spaces

    def _token_start(self, text: str, end: int, start: int) -> int:
        """`end`, or the start of an added token that lies across it."""
        if self._added is None:
            self._added = {}
            for token in self._encoders.scanner.get_vocab():
                for pair in {token[i : i + 2] for i in range(len(token) - 1)}:
                    self._added.setdefault(pair, []).append(token)
        best = end
        for token in self._added.get(text[end - 1 : end + 1], ()):
            at = text.find(token, max(start + 1, end - len(token) + 1), end + len(token) - 1)
            if 0 < at < end:
                best = min(best, at)
        return best
