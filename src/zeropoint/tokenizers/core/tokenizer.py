"""Encode text to token ids and decode ids to text.

Hugging Face `tokenizers` performs the BPE itself; this class separates text from control tokens:
`encode(text)` never produces a control token, whatever the text spells.
"""

from __future__ import annotations

import contextlib
import functools
import operator
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.added_token_finder import AddedTokenFinder, Span
from zeropoint.tokenizers.core.character_vocab import check_characters
from zeropoint.tokenizers.core.pipeline import SPACE
from zeropoint.tokenizers.core.quiet_panics import quiet_panics
from zeropoint.tokenizers.core.sanitize import check_unicode, printable
from zeropoint.tokenizers.core.vocabulary import USER_DEFINED, Vocabulary

if TYPE_CHECKING:
    import tokenizers

# The library allocates about 300 bytes per token and 16 per byte of text, so long text is encoded in chunks.
_CHUNK_CHARS = 1 << 16  # minimum; the chunk ends at the next safe split point
_MAX_CHUNK_CHARS = 1 << 18  # a text without a safe split point is split here anyway
_SAFE_SPLIT = re.compile(r"(?<=\S) ")  # no pre-token spans this (see pretokenizers.toml)


@frozen
class Encoders:
    """The library's tokenizers over one shared vocabulary.

    plain: treats control tokens as text. special: recognizes control tokens. continuation: like plain, for
    text that continues a document (no space prefix). scanner: finds added tokens. space_after_special: text
    after an added token also gets the space prefix. alphabet: the supported characters; None for all.
    spans_words: text cannot be divided before a space. may_panic: a step of the file's own can fail on a
    text.
    """

    plain: tokenizers.Tokenizer
    special: tokenizers.Tokenizer
    continuation: tokenizers.Tokenizer
    scanner: tokenizers.Tokenizer
    space_after_special: bool = False
    alphabet: frozenset[str] | None = None
    spans_words: bool = False
    may_panic: bool = False


class Tokenizer:
    """Encodes and decodes text; built by `load_tokenizer`.

    n_vocab: number of tokens. bos_id, eos_id, eot_id, eom_id, unk_id, pad_id: None if the model has none;
    sep_id, mask_id: BERT's. stop_ids: tokens that end a reply. control_ids: tokens that no text encodes to
    (except BERT's unknown token).
    add_bos: whether a document begins with bos_id (the caller adds it).
    add_sep: whether sep_id ends it (see `formats.bert.encode_document`). kind: of the vocabulary, as GGUF
    names it. spelling: of text in tokens: "byte_level", "sentencepiece", "words", "characters" or "bytes".
    notices: what the file says that was ignored, for the user.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        encoders: Encoders,
        token_decoder: Callable[[str], bytes],
        add_bos: bool,
        spelling: str,
    ) -> None:
        self._vocabulary = vocabulary
        self._encoders = encoders
        self._finder = AddedTokenFinder(vocabulary, encoders.scanner)
        self._token_decoder = token_decoder
        self._bytes_cache: dict[int, bytes] = {}
        self._added_by_pair: dict[str, list[str]] | None = None
        self._splits_at_spaces: bool | None = None
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
        self.stop_ids = vocabulary.stop_ids
        self.control_ids = vocabulary.control_ids
        self.notices = vocabulary.notices
        self.kind = vocabulary.kind
        self.spelling = spelling
        self._rstrip_tokens = tuple(vocabulary.tokens[index] for index in vocabulary.flags["rstrip"])
        self._spans_words = encoders.spans_words or bool(vocabulary.flags["normalized"])

    @property
    def hf_tokenizer(self) -> tokenizers.Tokenizer:
        """The Hugging Face tokenizer that recognizes control tokens. Copy it before changing it."""
        return self._encoders.special

    @property
    def add_space_prefix(self) -> bool:
        """Whether a document's first word is encoded as if a space preceded it."""
        return self._vocabulary.add_space_prefix

    @property
    def space_after_special(self) -> bool:
        """Whether the first word after a control token gets the space prefix too."""
        return self._encoders.space_after_special

    def encode(
        self,
        text: str,
        *,
        parse_special: bool = False,
        is_continuation: bool = False,
        max_tokens: int | None = None,
    ) -> list[int]:
        """Token ids of `text`, without BOS.

        parse_special: encode spelled control tokens as such (only for a rendered template); else they are
        text. is_continuation: the text continues other text, so it gets no space prefix. max_tokens: do not
        read on once there are more; the ids are then those of the text's beginning. Raises BadInput on
        invalid Unicode, and on a character outside a character vocabulary.
        """
        check_unicode(text)
        if self._encoders.alphabet is not None:
            check_characters(text, self._encoders.alphabet)
        ids: list[int] = []
        start = 0
        while start < len(text) and (max_tokens is None or len(ids) <= max_tokens):
            end = self._chunk_end(text, start)
            chunk = text if end - start == len(text) else text[start:end]
            ids += self._encode_chunk(chunk, parse_special, is_continuation or start > 0)
            start = end
        return ids

    def encode_iterable(self, texts: Iterable[str], *, parse_special: bool = False) -> Iterator[int]:
        """Token ids of the texts joined together, as they become known; memory does not grow with the text.

        Equal to `encode("".join(texts))`. The few tokenizers whose tokens span words encode at the end.
        Raises BadInput as `encode`.
        """
        parts: list[str] = []
        n_chars = 0
        is_continuation = False
        for text in texts:
            parts.append(check_unicode(text))
            n_chars += len(text)
            if self._spans_words or n_chars < 2 * _MAX_CHUNK_CHARS:
                continue
            buffer, start = "".join(parts), 0
            while len(buffer) - start > _MAX_CHUNK_CHARS:
                end = self._chunk_end(buffer, start)
                yield from self.encode(
                    buffer[start:end], parse_special=parse_special, is_continuation=is_continuation
                )
                start, is_continuation = end, True
            parts = [buffer[start:]]
            n_chars = len(parts[0])
        yield from self.encode("".join(parts), parse_special=parse_special, is_continuation=is_continuation)

    def _encode_chunk(self, text: str, parse_special: bool, is_continuation: bool) -> list[int]:
        encoders = self._encoders
        encoder = encoders.special if parse_special else encoders.plain
        try:
            with quiet_panics() if encoders.may_panic else contextlib.nullcontext():
                if not is_continuation or encoders.continuation is encoders.plain:
                    return list(encoder.encode(text, add_special_tokens=False).ids)
                end = self._first_added(text, parse_special)
                ids = list(encoders.continuation.encode(text[:end], add_special_tokens=False).ids)
                return ids + list(encoder.encode(text[end:], add_special_tokens=False).ids)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as failure:  # a Rust panic is not an Exception
            raise BadInput(f"the text could not be encoded: {printable(str(failure))}") from None

    def _first_added(self, text: str, parse_special: bool) -> int:
        """Start of the first added token (or control token, with parse_special), else the text's length."""
        for start, _, index in self._finder.spans(text):
            if parse_special or index not in self.control_ids:
                return start
        return len(text)

    def control_spans(self, text: str) -> list[Span]:
        """(start, end, id) of every control token spelled in `text`, as encode(parse_special=True) does.

        A span includes the white space that the token swallows.
        """
        return [span for span in self._finder.spans(check_unicode(text)) if span[2] in self.control_ids]

    def control_interiors(self, text: str) -> set[int]:
        """A position within each control token that `text` spells, where an inserted character breaks it.

        Includes tokens that `control_spans` finds only in another context, such as at the start of a text.
        """
        return self._finder.interiors(check_unicode(text), self.control_ids)

    @functools.cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """The control tokens as the vocabulary spells them, in the order of their ids."""
        return tuple(self._vocabulary.tokens[index] for index in sorted(self.control_ids))

    def decode(
        self, ids: Iterable[int], *, skip_special_tokens: bool = False, is_continuation: bool = False
    ) -> str:
        """The text of `ids`; invalid UTF-8 becomes U+FFFD. Raises BadInput on an unknown id.

        skip_special_tokens: omit control tokens. is_continuation: the ids continue others, so a leading space
        belongs to the text.
        """
        if skip_special_tokens:
            ids = [index for index in ids if index not in self.control_ids]
        text = b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")
        return text[1:] if self.add_space_prefix and not is_continuation and text.startswith(" ") else text

    def token_bytes(self, index: int) -> bytes:
        """The bytes that one token stands for. Raises BadInput on an id outside the vocabulary."""
        index = self._checked(index)
        cached = self._bytes_cache.get(index)
        if cached is not None:
            return cached
        vocabulary = self._vocabulary
        token = vocabulary.tokens[index]
        if index in vocabulary.byte_ids:
            token_bytes = bytes([vocabulary.byte_ids[index]])
        elif index in self.control_ids or vocabulary.types[index] == USER_DEFINED:
            token_bytes = token.encode()
        else:
            token_bytes = self._token_decoder(token)
        self._bytes_cache[index] = token_bytes
        return token_bytes

    def _checked(self, index: int) -> int:
        try:
            index = operator.index(index)
        except TypeError:
            raise BadInput(f"a token id must be an integer, not {type(index).__name__}") from None
        if not 0 <= index < self.n_vocab:
            raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
        return index

    def added_token_id(self, text: str) -> int | None:
        """The id of a control or user-defined token by its spelling; None for any other text."""
        return self._vocabulary.ids.get(text)

    def token_text(self, index: int | None) -> str:
        """A token as the vocabulary spells it ("" for None), as templates need: `<|im_end|>`."""
        return "" if index is None else self._vocabulary.tokens[index]

    def _chunk_end(self, text: str, start: int) -> int:
        """End of the chunk of `text` that begins at `start`: not within a word or an added token."""
        if len(text) - start <= _CHUNK_CHARS or self._spans_words:
            return len(text)
        end = min(start + _MAX_CHUNK_CHARS, len(text))
        if self._can_split_at_spaces():
            spaces = _SAFE_SPLIT.finditer(text, start + _CHUNK_CHARS, end)
            # A space after a token that swallows it stays with the token.
            end = next(
                (s.start() for s in spaces if not text.endswith(self._rstrip_tokens, start, s.start())), end
            )
        return self._token_start(text, end, start)

    def _can_split_at_spaces(self) -> bool:
        """Whether no token spans the start of a word (SentencePiece can be trained to allow it)."""
        if self._splits_at_spaces is None:
            tokens = self._vocabulary.tokens if self._vocabulary.kind == "llama" else []
            self._splits_at_spaces = not any(SPACE in token.lstrip(SPACE) for token in tokens)
        return self._splits_at_spaces

    def _token_start(self, text: str, end: int, start: int) -> int:
        """`end`, or the start of an added token that spans it."""
        if self._added_by_pair is None:
            self._added_by_pair = {}
            for token in self._encoders.scanner.get_vocab():
                for pair in {token[i : i + 2] for i in range(len(token) - 1)}:
                    self._added_by_pair.setdefault(pair, []).append(token)
        best = end
        for token in self._added_by_pair.get(text[end - 1 : end + 1], ()):
            at = text.find(token, max(start + 1, end - len(token) + 1), end + len(token) - 1)
            if 0 < at < end:
                best = min(best, at)
        return best
