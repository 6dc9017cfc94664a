"""The vocabulary described by GGUF metadata, validated before anything is built from it.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md ("Tokenizer"). The file is untrusted: a wrong
type, length, id or merge is a BadModelFile that names the key, because the Rust library would panic on some
of these and silently drop text on others. Start-up waits for this code, so tokens are checked in bulk. The
library itself checks that every merge joins two tokens into a third; `check_merges` then finds the one at
fault.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from itertools import compress

from zeropoint.errors import choices
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.added_tokens import no_flags, read_flags
from zeropoint.tokenizers.core.character_vocab import is_character, unescape_tokens
from zeropoint.tokenizers.core.longest_match import MAX_TOKEN_BYTES
from zeropoint.tokenizers.core.merges import read_merges
from zeropoint.tokenizers.core.metadata_reader import BYTE, NORMAL, HasMetadata, MetadataReader
from zeropoint.tokenizers.core.pipeline import PIPELINE_KEY, Pipeline, parse_pipeline
from zeropoint.tokenizers.core.special_tokens import chat_token_ids, end_token_ids
from zeropoint.tokenizers.core.string_table import StringTable

_GEMMA4_PRE = ("gemma4", "granite-embed-multi-311m", "sarvam-moe")  # with raw characters in the tokens
UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 2, 3, 4, 5  # values of tokenizer.ggml.token_type
KINDS = ("gpt2", "llama", "bert", "t5", "rwkv", "gemma4")
MAX_CONTROL_CHARS = 128  # per control token; the longest published one has about 30
_SPECIAL_KEYS = {
    "bos": "bos_token_id",
    "eos": "eos_token_id",
    "eot": "eot_token_id",
    "eom": "eom_token_id",
    "unk": "unknown_token_id",
    "pad": "padding_token_id",
}
_BERT_KEYS = {"sep": "seperator_token_id", "mask": "mask_token_id", "cls": "cls_token_id"}  # sic
_BERT_NAMES = {"unk": "[UNK]", "pad": "[PAD]", "bos": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@frozen
class Vocabulary:
    """The validated vocabulary of one model.

    tokens, types: by id; ids: by token. merges: pairs, highest priority first. special: bos, eos, eot, eom,
    unk and pad to id, as far as the file names them (bert also has sep and mask, and its bos is [CLS]).
    stop_ids: tokens that end a reply, named by the file or known by their spelling.
    add_bos: None if the file does not say. add_sep, lowercase, strip_accents: for bert. scores, charsmap,
    removes_extra_whitespace: for t5. flags: the ids of the added tokens with each flag
    (`added_tokens.FLAGS`). pipeline: the steps that the file holds itself. has_escapes: tokens are bytes with
    Python's escapes. notices: what the file says that was ignored.
    """

    kind: str
    pre: str
    tokens: Sequence[str]
    types: bytes
    ids: dict[str, int]
    merges: list[tuple[str, str]]
    special: dict[str, int]
    stop_ids: frozenset[int]
    control_ids: frozenset[int]
    byte_ids: dict[int, int]
    add_bos: bool | None
    add_space_prefix: bool
    add_sep: bool = False
    lowercase: bool = False
    strip_accents: bool = False
    scores: tuple[float, ...] = ()
    charsmap: bytes = b""
    removes_extra_whitespace: bool = False
    flags: Mapping[str, frozenset[int]] = field(default_factory=no_flags)
    pipeline: Pipeline | None = None
    has_escapes: bool = False
    notices: tuple[str, ...] = ()

    def user_ids(self) -> list[int]:
        """User-defined tokens that are not control tokens, in the order of ids."""
        return [i for i in ids_of_types(self.types, {USER_DEFINED}) if i not in self.control_ids]

    def compact(self) -> Vocabulary:
        """A copy in a tenth of the memory, for use once the library's model has been built.

        Drops merges and scores; `ids` retains only control and user-defined tokens.
        """
        user_ids = ids_of_types(self.types, {USER_DEFINED})
        added = {self.tokens[index]: index for index in self.control_ids.union(user_ids)}
        return replace(self, tokens=StringTable(self.tokens), ids=added, merges=[], scores=())


def ids_of_types(types: bytes, selected: Collection[int]) -> list[int]:
    """The ids of tokens whose type is selected, in ascending order."""
    mask = types.translate(bytes(type_ in selected for type_ in range(256)))
    return list(compress(range(len(types)), mask))


def read_vocabulary(model: HasMetadata) -> Vocabulary:
    """Read and validate `tokenizer.ggml.*`. Raises BadModelFile naming file and key."""
    reader = MetadataReader(model)
    kind = reader.get_str("model", None)
    if kind not in KINDS:
        raise reader.error("model", choices("tokenizer", kind, KINDS))
    is_gemma4 = kind == "gemma4" or (kind == "gpt2" and reader.get_str("pre", "") in _GEMMA4_PRE)
    if is_gemma4:  # as `llama`, with merges in the place of scores and no space prefix
        kind = "llama"
        if not reader.has("merges"):
            raise reader.error("merges", "missing")
    tokens, ids = reader.tokens()
    if kind == "rwkv" and all(map(is_character, tokens)):
        return _read_characters(reader, tokens)
    if kind == "rwkv":
        return _read_world(reader, tokens, ids)
    types = reader.types(len(tokens))
    byte_ids = _byte_ids(reader, kind, tokens, types)
    special, notices = _special(reader, kind, ids, has_bytes=bool(byte_ids))
    stop_ids = _stop_ids(reader, kind, ids, special, notices)
    control = _control_ids(kind, ids, types, special) | stop_ids
    # A single character is never a control token: it also occurs in text.
    control_ids = frozenset(index for index in control if len(tokens[index]) > 1)
    _check_control(reader, [tokens[index] for index in control_ids])
    lowercase = _is_lowercase(reader, kind, tokens, control_ids)
    strip_accents = reader.get_bool("normalizer.strip_accents") if kind == "bert" else False
    pipeline, add_bos = _pipeline(reader), reader.get_bool("add_bos_token")
    return Vocabulary(
        kind=kind,
        pre=reader.get_str("pre", "default"),
        tokens=tokens,
        types=types,
        ids=ids,
        merges=read_merges(reader, kind, tokens, ids, control_ids, byte_ids),
        special=special,
        stop_ids=stop_ids,
        control_ids=control_ids,
        byte_ids=byte_ids,
        add_bos=False if add_bos is None and is_gemma4 else add_bos,
        add_space_prefix=not is_gemma4 and _has_space_prefix(reader, kind, pipeline),
        add_sep=kind == "bert" and reader.get_bool("add_sep_token") is not False,
        lowercase=lowercase,
        strip_accents=lowercase if strip_accents is None else strip_accents,
        scores=tuple(reader.scores(len(tokens))) if kind == "t5" else (),
        charsmap=reader.bytes("precompiled_charsmap") if kind == "t5" else b"",
        removes_extra_whitespace=kind == "t5" and reader.get_bool("remove_extra_whitespaces") is not False,
        flags=read_flags(reader, ids, ids_of_types(types, {CONTROL, UNKNOWN, USER_DEFINED})),
        pipeline=pipeline,
        notices=tuple(notices),
    )


def _read_characters(reader: MetadataReader, tokens: list[str]) -> Vocabulary:
    """A vocabulary of single characters; its only special token is an optional EOS."""
    characters = unescape_tokens(tokens)
    ids = {character: index for index, character in enumerate(characters)}
    if len(ids) != len(characters):
        raise reader.error("tokens", "two tokens are the same character")
    end = reader.token_id("eos_token_id")
    if end is not None and not 0 <= end < len(characters):
        raise reader.outside("eos_token_id", end, len(characters))
    return Vocabulary(
        kind="rwkv",
        pre="default",
        tokens=characters,
        types=bytes([NORMAL]) * len(characters),
        ids=ids,
        merges=[],
        special={} if end is None else {"eos": end},
        stop_ids=frozenset() if end is None else frozenset({end}),
        control_ids=frozenset(),
        byte_ids={},
        add_bos=False,
        add_space_prefix=False,
    )


def _read_world(reader: MetadataReader, tokens: list[str], ids: dict[str, int]) -> Vocabulary:
    """RWKV's vocabulary of byte strings. Text that spells one of its control tokens is text."""
    types = reader.types(len(tokens))
    longest = max(map(len, tokens))
    if longest > 4 * MAX_TOKEN_BYTES or "" in ids:
        raise reader.error("tokens", f"a token must have 1 to {MAX_TOKEN_BYTES:,} bytes")
    special, notices = _special(reader, "rwkv", ids, has_bytes=False)
    return Vocabulary(
        kind="rwkv",
        pre="default",
        tokens=tokens,
        types=types,
        ids=ids,
        merges=[],
        special=special,
        stop_ids=_stop_ids(reader, "rwkv", ids, special, notices),
        control_ids=frozenset(ids_of_types(types, {CONTROL, UNKNOWN})),
        byte_ids={},
        add_bos=reader.get_bool("add_bos_token") is True,
        add_space_prefix=False,
        has_escapes=True,
        notices=tuple(notices),
    )


def _special(
    reader: MetadataReader, kind: str, ids: dict[str, int], *, has_bytes: bool
) -> tuple[dict[str, int], list[str]]:
    """(ids of the special tokens, notices): as the file names them, in a BERT vocabulary also by spelling.

    An id outside the vocabulary is ignored with a notice, as in llama.cpp, unless the token is needed.
    """
    keys = _SPECIAL_KEYS | (_BERT_KEYS if kind == "bert" else {})
    needed = {"eos", "bos", "cls", "sep", "unk"} if kind == "bert" else {"eos"}
    add_bos = reader.get_bool("add_bos_token")
    needed |= {"bos"} if add_bos or (add_bos is None and kind == "llama") else set()
    needed |= {"unk"} if kind == "llama" and not has_bytes else set()
    special, notices = {}, []
    for name, key in keys.items():
        index = reader.token_id(key)
        if index is not None and 0 <= index < len(ids):
            special[name] = index
        elif index is not None and name in needed:
            raise reader.outside(key, index, len(ids))
        elif index is not None:
            notices.append(f"{reader.outside(key, index, len(ids))}; it is ignored")
    if kind == "bert":
        special = {name: ids[token] for name, token in _BERT_NAMES.items() if token in ids} | special
        if "cls" in special:
            special["bos"] = special.pop("cls")
        for name in ("unk", "bos", "sep"):
            if name not in special:
                raise reader.error("tokens", f"{_BERT_NAMES[name]} is missing; a bert vocabulary needs it")
    return special, notices


def _pipeline(reader: MetadataReader) -> Pipeline | None:
    """The steps under our own key, if the file has it."""
    if not reader.has(PIPELINE_KEY):
        return None
    try:
        return parse_pipeline(reader.get_str(PIPELINE_KEY, None))
    except ValueError as problem:
        raise reader.error(PIPELINE_KEY, f"not a valid pipeline: {problem}") from None


def _has_space_prefix(reader: MetadataReader, kind: str, pipeline: Pipeline | None) -> bool:
    """Whether a document's first word is encoded, and decoded, as if a space preceded it."""
    if pipeline is not None and kind != "bert":
        has_prefix = pipeline.spelling == "words" or pipeline.continuation() != pipeline
        return has_prefix and not pipeline.keeps_first_space
    flag = reader.get_bool("add_space_prefix")
    return kind == "bert" or (flag is not False and kind in ("llama", "t5"))


def _is_lowercase(reader: MetadataReader, kind: str, tokens: list[str], control_ids: frozenset[int]) -> bool:
    """Whether text is lowercased: as the file says, else if no word piece has an uppercase letter."""
    if kind != "bert":
        return False
    flag = reader.get_bool("normalizer.lowercase")
    if flag is not None:
        return flag
    pieces = (token for index, token in enumerate(tokens) if index not in control_ids)
    return all(token == token.lower() or "[" in token for token in pieces)


def _stop_ids(
    reader: MetadataReader, kind: str, ids: dict[str, int], special: dict[str, int], notices: list[str]
) -> frozenset[int]:
    """Ids that end a reply: those that the file names, and those known by their spelling.

    `eos_token_ids`, which Ollama's converter writes too, has all of them if there are several. Adds a notice
    for one outside the vocabulary.
    """
    stops = end_token_ids(ids if kind != "bert" else {})
    stops |= {special[name] for name in ("eos", "eot", "eom") if name in special}
    for index in reader.token_ids("eos_token_ids"):
        if 0 <= index < len(ids):
            stops |= {index}
        else:
            notices.append(f"{reader.outside('eos_token_ids', index, len(ids))}; it is ignored")
    return stops


def _control_ids(kind: str, ids: dict[str, int], types: bytes, special: dict[str, int]) -> frozenset[int]:
    """Tokens that only a template may produce, whatever type the file gives to those known by spelling."""
    names = _BERT_NAMES if kind == "bert" else ("bos", "eos", "eot", "eom")
    control = {special[name] for name in names if name in special}
    spelled = chat_token_ids(ids if kind != "bert" else {})
    return spelled.union(control, ids_of_types(types, {CONTROL, UNKNOWN}))


def _check_control(reader: MetadataReader, control: list[str]) -> None:
    """Bound the strings that chat/prompt.py compares with every message."""
    longest = max(control, key=len, default="")
    if len(longest) > MAX_CONTROL_CHARS or sum(map(len, control)) > MAX_CONTROL_CHARS << 13:
        raise reader.error("tokens", f"the control tokens are too long ({longest[:40]!r}...)")


def _byte_ids(reader: MetadataReader, kind: str, tokens: list[str], types: bytes) -> dict[int, int]:
    """Token id to byte value of the byte-fallback tokens `<0x00>` to `<0xFF>`: all 256 or none."""
    byte_ids = {}
    candidates = ids_of_types(types, {BYTE})
    if kind == "llama":
        candidates = [i for i, token in enumerate(tokens) if types[i] == BYTE or token.startswith("<0x")]
    for index in candidates:
        match = _BYTE_TOKEN.fullmatch(tokens[index])
        if match:
            byte_ids[index] = int(match[1], 16)
        elif types[index] == BYTE:
            token = tokens[index][:20]
            raise reader.error("tokens", f"byte token {index} is {token!r}; it must be <0x00> to <0xFF>")
    if kind == "llama" and len(byte_ids) not in (0, 256):
        raise reader.error("tokens", f"only {len(byte_ids)} of the 256 byte tokens <0x00> to <0xFF> exist")
    return byte_ids
