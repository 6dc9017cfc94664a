"""The vocabulary that a GGUF file's metadata describes, checked before anything is built from it.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md ("Tokenizer"). Everything in a file is
suspect: a wrong type, length, id or merge is a BadModelFile that names the key, because the Rust
library below would panic on some of it and quietly drop text on the rest.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from zeropoint.errors import BadModelFile, choices
from zeropoint.tokenizers.text import printable

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # tokenizer.ggml.token_type
KINDS = ("gpt2", "llama")
MAX_TOKENS = 1 << 22  # sixteen times the largest vocabulary in use
MERGES_PER_TOKEN = 32  # a published vocabulary has at most about three
END_OF_TURN = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>")
SPACE = "\u2581"  # SentencePiece writes a space so
_SPECIAL_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class HasMetadata(Protocol):
    """What a tokenizer needs of an opened model file: its metadata."""

    @property
    def metadata(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Vocabulary:
    """Checked tokens of one model.

    tokens, types: by id; ids: the way back. merges: pairs, best first. special: bos, eos, eot, eom, unk,
    pad to id where the file has them. add_bos: None where the file does not say.
    """

    kind: str
    pre: str
    tokens: list[str]
    types: list[int]
    ids: dict[str, int]
    merges: list[tuple[str, str]]
    special: dict[str, int]
    control_ids: frozenset[int]
    byte_ids: dict[int, int]
    add_bos: bool | None
    add_space_prefix: bool

    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: eos, eot, eom, and control tokens known to end a turn."""
        named = {self.special[name] for name in ("eos", "eot", "eom") if name in self.special}
        spelled = {self.ids[text] for text in END_OF_TURN if text in self.ids}
        return frozenset(named | (spelled & self.control_ids))


def read_vocabulary(model: HasMetadata) -> Vocabulary:
    """Read and check `tokenizer.ggml.*`. Raises BadModelFile naming file and key."""
    reader = _Reader(model)
    kind = reader.text("model", None)
    if kind not in KINDS:
        raise reader.bad("model", choices("tokenizer", kind, KINDS))
    tokens, ids = reader.tokens()
    special = {
        name: index
        for name, key in _SPECIAL_KEYS.items()
        if (index := reader.token_id(key, len(tokens))) is not None
    }
    types = reader.types(len(tokens))
    byte_ids = _byte_ids(reader, kind, tokens, types)
    control_ids = _control_ids(tokens, types, special)
    return Vocabulary(
        kind=kind,
        pre=reader.text("pre", "default"),
        tokens=tokens,
        types=types,
        ids=ids,
        merges=_merges(reader, kind, tokens, ids, control_ids, byte_ids),
        special=special,
        control_ids=control_ids,
        byte_ids=byte_ids,
        add_bos=reader.flag("add_bos_token"),
        add_space_prefix=reader.flag("add_space_prefix") is not False and kind == "llama",
    )


def _control_ids(tokens: list[str], types: list[int], special: dict[str, int]) -> frozenset[int]:
    """Tokens that only a template may write. One character cannot be told from text, so it is none."""
    marked = {index for index, kind in enumerate(types) if kind in (CONTROL, UNKNOWN)}
    marked |= {special[name] for name in ("bos", "eos", "eot", "eom") if name in special}
    return frozenset(index for index in marked if len(tokens[index]) > 1)


def _byte_ids(reader: _Reader, kind: str, tokens: list[str], types: list[int]) -> dict[int, int]:
    """Token id to byte value, for `<0x00>` to `<0xFF>`: all of them or none."""
    found = {}
    for index, token in enumerate(tokens):
        if types[index] != BYTE and not (kind == "llama" and token.startswith("<0x")):
            continue
        match = _BYTE_TOKEN.fullmatch(token)
        if match:
            found[index] = int(match[1], 16)
        elif types[index] == BYTE:
            raise reader.bad("tokens", f"byte token {index} is spelled {token[:20]!r}, not <0x00> to <0xFF>")
    if kind == "llama" and len(found) not in (0, 256):
        raise reader.bad("tokens", f"{len(found)} of the 256 byte tokens <0x00> to <0xFF> are there")
    return found


def _merges(
    reader: _Reader,
    kind: str,
    tokens: list[str],
    ids: dict[str, int],
    control_ids: frozenset[int],
    byte_ids: dict[int, int],
) -> list[tuple[str, str]]:
    """The file's merges, or for `llama` those its scores imply.

    None makes a control or byte token: text that spells one must not become it.
    """
    barred = {tokens[index] for index in (*control_ids, *byte_ids)}
    if kind == "llama" and not reader.has("merges"):
        return _merges_from_scores(tokens, ids, reader.scores(len(tokens)), barred)
    lines = reader.strings("merges", MERGES_PER_TOKEN * len(tokens))
    merges = []
    for index, line in enumerate(lines):
        left, _, right = line.partition(" ")
        whole = left + right
        if not left or not right or left not in ids or right not in ids or whole not in ids:
            raise reader.bad("merges", f"merge {index} ({line[:40]!r}) does not join two tokens into a third")
        if whole not in barred:
            merges.append((left, right))
    return merges


def _merges_from_scores(
    tokens: list[str], ids: dict[str, int], scores: list[float], barred: set[str]
) -> list[tuple[str, str]]:
    """Every way to make a token of two others, best score first, as transformers derives them."""
    found = []
    for index, token in enumerate(tokens):
        if len(token) < 2 or token in barred:
            continue
        cuts = [
            (left, right)
            for cut in range(1, len(token))
            if (left := token[:cut]) in ids and (right := token[cut:]) in ids
        ]
        cuts.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found.extend((scores[index], len(left), len(right), left, right) for left, right in cuts)
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [(left, right) for *_, left, right in found]


class _Reader:
    """Typed access to one file's `tokenizer.ggml.*`."""

    def __init__(self, model: HasMetadata) -> None:
        self._metadata = model.metadata
        paths = getattr(model, "paths", None) or [getattr(model, "path", "the model")]
        self._name = str(paths[0])

    def bad(self, key: str, problem: str) -> BadModelFile:
        return BadModelFile(f"{self._name}: tokenizer.ggml.{key}: {printable(problem, 600)}")

    def has(self, key: str) -> bool:
        return f"tokenizer.ggml.{key}" in self._metadata

    def _get(self, key: str) -> Any:
        return self._metadata.get(f"tokenizer.ggml.{key}")

    def text(self, key: str, default: str | None) -> str:
        value = self._get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str):
            raise self.bad(key, "missing" if value is None else f"a string is needed, not {_kind(value)}")
        return value

    def flag(self, key: str) -> bool | None:
        value = self._get(key)
        if value is not None and not isinstance(value, bool):
            raise self.bad(key, f"true or false is needed, not {_kind(value)}")
        return value

    def token_id(self, key: str, n_vocab: int) -> int | None:
        value = self._get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.bad(key, f"an integer is needed, not {_kind(value)}")
        if not 0 <= value < n_vocab:
            raise self.bad(key, f"{value} is outside the vocabulary of {n_vocab} tokens")
        return value

    def strings(self, key: str, maximum: int) -> list[str]:
        items = self._list(key, maximum)
        if set(map(type, items)) - {str}:
            raise self.bad(key, "a list of strings is needed")
        try:
            "\n".join(items).encode()
        except UnicodeEncodeError:
            raise self.bad(key, "a string is not valid Unicode") from None
        return items

    def tokens(self) -> tuple[list[str], dict[str, int]]:
        tokens = self.strings("tokens", MAX_TOKENS)
        if len(tokens) < 2:
            raise self.bad("tokens", f"{len(tokens)} tokens are no vocabulary")
        ids = {token: index for index, token in enumerate(tokens)}
        if len(ids) != len(tokens):
            token, count = Counter(tokens).most_common(1)[0]
            raise self.bad("tokens", f"token {token[:40]!r} is there {count} times")
        return tokens, ids

    def types(self, n_vocab: int) -> list[int]:
        if not self.has("token_type"):
            return [NORMAL] * n_vocab
        types = self._numbers("token_type", n_vocab, int)
        if not set(types) <= set(range(BYTE + 1)):
            raise self.bad("token_type", f"{max(types, key=abs)} is no token type (0 to {BYTE})")
        return types

    def scores(self, n_vocab: int) -> list[float]:
        scores = self._numbers("scores", n_vocab, float)
        if any(map(math.isnan, scores)):
            raise self.bad("scores", "a score is not a number (NaN)")
        return scores

    def _numbers(self, key: str, n_vocab: int, kind: type) -> list[Any]:
        items = self._list(key, n_vocab)
        if set(map(type, items)) - {kind}:
            raise self.bad(key, f"a list of {kind.__name__} is needed")
        if len(items) != n_vocab:
            raise self.bad(key, f"{len(items)} entries for {n_vocab} tokens")
        return items

    def _list(self, key: str, maximum: int) -> list[Any]:
        value = self._get(key)
        if hasattr(value, "tolist"):
            value = value.tolist()
        if not isinstance(value, (list, tuple)):
            raise self.bad(key, "missing" if value is None else f"a list is needed, not {_kind(value)}")
        if len(value) > maximum:
            raise self.bad(key, f"{len(value)} entries where at most {maximum} make sense")
        return list(value)


def _kind(value: object) -> str:
    return type(value).__name__
