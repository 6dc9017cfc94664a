"""The vocabulary that a GGUF file's metadata describes, checked before anything is built from it.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md ("Tokenizer"). Everything in a file is
suspect: a wrong type, length, id or merge is a BadModelFile that names the key, because the Rust
library below would panic on some of it and quietly drop text on the rest. A start waits for this, so what is
asked of every token is asked in bulk; that a merge joins two tokens into a third the library asks itself, and
`refuse_bad_merge` then says which does not.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import compress

from zeropoint.errors import choices
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.character_vocab import unescape_tokens
from zeropoint.tokenizers.core.metadata_reader import BYTE, NORMAL, HasMetadata, MetadataReader
from zeropoint.tokenizers.core.string_table import StringTable

UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 2, 3, 4, 5  # of tokenizer.ggml.token_type
KINDS = ("gpt2", "llama", "bert", "t5", "rwkv")
MAX_CONTROL = 128  # characters of one control token; the longest in use has about 30
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
_BERT_KEYS = {"sep": "seperator_token_id", "mask": "mask_token_id", "cls": "cls_token_id"}  # sic
_BERT_NAMES = {"unk": "[UNK]", "pad": "[PAD]", "bos": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


@frozen
class Vocabulary:
    """Checked tokens of one model.

    tokens, types: by id; ids: the way back. merges: pairs, best first. special: bos, eos, eot, eom, unk, pad
    to id where the file has them (bert: sep and mask too, bos is [CLS]). add_bos: None where the file does
    not say. add_sep, lowercase, strip_accents: for bert. scores, charsmap, drops_spaces: for t5.
    """

    kind: str
    pre: str
    tokens: Sequence[str]
    types: bytes
    ids: dict[str, int]
    merges: list[tuple[str, str]]
    special: dict[str, int]
    control_ids: frozenset[int]
    byte_ids: dict[int, int]
    add_bos: bool | None
    add_space_prefix: bool
    add_sep: bool = False
    lowercase: bool = False
    strip_accents: bool = False
    scores: tuple[float, ...] = ()
    charsmap: bytes = b""
    drops_spaces: bool = False

    def stop_ids(self) -> frozenset[int]:
        """Ids that end an answer: eos, eot, eom, and control tokens known to end a turn."""
        named = {self.special[name] for name in ("eos", "eot", "eom") if name in self.special}
        spelled = {self.ids[text] for text in END_OF_TURN if text in self.ids}
        return frozenset(named | (spelled & self.control_ids))

    def compact(self) -> Vocabulary:
        """The same in a tenth of the memory, once the library's model is made from it.

        Merges and scores are left out, `ids` keeps control tokens and the user's.
        """
        users = ids_of_types(self.types, {USER_DEFINED})
        added = {self.tokens[index]: index for index in self.control_ids.union(users)}
        return replace(self, tokens=StringTable(self.tokens), ids=added, merges=[], scores=())


def ids_of_types(types: bytes, wanted: Collection[int]) -> list[int]:
    """The ids of tokens of the wanted types, rising."""
    marks = types.translate(bytes(type_ in wanted for type_ in range(256)))
    return list(compress(range(len(types)), marks))


def read_vocabulary(model: HasMetadata) -> Vocabulary:
    """Read and check `tokenizer.ggml.*`. Raises BadModelFile naming file and key."""
    reader = MetadataReader(model)
    kind = reader.text("model", None)
    if kind not in KINDS:
        raise reader.bad("model", choices("tokenizer", kind, KINDS))
    tokens, ids = reader.tokens()
    if kind == "rwkv":
        return _characters(reader, tokens)
    special = _special(reader, kind, ids)
    types = reader.types(len(tokens))
    byte_ids = _byte_ids(reader, kind, tokens, types)
    control_ids = _control_ids(kind, tokens, types, special)
    _check_control(reader, [tokens[index] for index in control_ids])
    lowercase = _case(reader, kind, tokens, control_ids)
    strip_accents = reader.flag("normalizer.strip_accents") if kind == "bert" else False
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
        add_space_prefix=kind == "bert"
        or (reader.flag("add_space_prefix") is not False and kind in ("llama", "t5")),
        add_sep=kind == "bert" and reader.flag("add_sep_token") is not False,
        lowercase=lowercase,
        strip_accents=lowercase if strip_accents is None else strip_accents,
        scores=tuple(reader.scores(len(tokens))) if kind == "t5" else (),
        charsmap=reader.bytes("precompiled_charsmap") if kind == "t5" else b"",
        drops_spaces=kind == "t5" and reader.flag("remove_extra_whitespaces") is not False,
    )


def _characters(reader: MetadataReader, tokens: list[str]) -> Vocabulary:
    """A vocabulary of single characters: nothing in it is special but one that may end a text."""
    try:
        characters = unescape_tokens(tokens)
    except ValueError as problem:
        raise reader.bad("tokens", str(problem)) from None
    ids = {character: index for index, character in enumerate(characters)}
    if len(ids) != len(characters):
        raise reader.bad("tokens", "two tokens are the same character")
    end = reader.token_id("eos_token_id", len(characters))
    return Vocabulary(
        kind="rwkv",
        pre="default",
        tokens=characters,
        types=bytes([NORMAL]) * len(characters),
        ids=ids,
        merges=[],
        special={} if end is None else {"eos": end},
        control_ids=frozenset(),
        byte_ids={},
        add_bos=False,
        add_space_prefix=False,
    )


def _special(reader: MetadataReader, kind: str, ids: dict[str, int]) -> dict[str, int]:
    """Ids of the special tokens that the file names; a BERT vocabulary also has them by their spelling."""
    keys = _SPECIAL_KEYS | (_BERT_KEYS if kind == "bert" else {})
    special = {
        name: index for name, key in keys.items() if (index := reader.token_id(key, len(ids))) is not None
    }
    if kind == "bert":
        special = {name: ids[token] for name, token in _BERT_NAMES.items() if token in ids} | special
        if "cls" in special:
            special["bos"] = special.pop("cls")
        for name in ("unk", "bos", "sep"):
            if name not in special:
                raise reader.bad("tokens", f"{_BERT_NAMES[name]} is missing, which a bert vocabulary needs")
    return special


def _case(reader: MetadataReader, kind: str, tokens: list[str], control_ids: frozenset[int]) -> bool:
    """Whether text is lowered: as the file says, else if no word piece has an upper-case letter."""
    if kind != "bert":
        return False
    flag = reader.flag("normalizer.lowercase")
    if flag is not None:
        return flag
    pieces = (token for index, token in enumerate(tokens) if index not in control_ids)
    return all(token == token.lower() or "[" in token for token in pieces)


def _control_ids(kind: str, tokens: list[str], types: bytes, special: dict[str, int]) -> frozenset[int]:
    """Tokens that only a template may write. One character cannot be told from text, so it is none."""
    marked = set(ids_of_types(types, {CONTROL, UNKNOWN}))
    names = _BERT_NAMES if kind == "bert" else ("bos", "eos", "eot", "eom")
    marked |= {special[name] for name in names if name in special}
    return frozenset(index for index in marked if len(tokens[index]) > 1)


def _check_control(reader: MetadataReader, control: list[str]) -> None:
    """Bound what prompt.py compares every message with."""
    longest = max(control, key=len, default="")
    if len(longest) > MAX_CONTROL or sum(map(len, control)) > MAX_CONTROL << 13:
        raise reader.bad("tokens", f"the control tokens are too long ({longest[:40]!r}...)")


def _byte_ids(reader: MetadataReader, kind: str, tokens: list[str], types: bytes) -> dict[int, int]:
    """Token id to byte value, for `<0x00>` to `<0xFF>`: all of them or none."""
    found = {}
    marked = ids_of_types(types, {BYTE})
    if kind == "llama":
        marked = [i for i, token in enumerate(tokens) if types[i] == BYTE or token.startswith("<0x")]
    for index in marked:
        match = _BYTE_TOKEN.fullmatch(tokens[index])
        if match:
            found[index] = int(match[1], 16)
        elif types[index] == BYTE:
            spelled = tokens[index][:20]
            raise reader.bad("tokens", f"byte token {index} is spelled {spelled!r}, not <0x00> to <0xFF>")
    if kind == "llama" and len(found) not in (0, 256):
        raise reader.bad("tokens", f"{len(found)} of the 256 byte tokens <0x00> to <0xFF> are there")
    return found


def _merges(
    reader: MetadataReader,
    kind: str,
    tokens: list[str],
    ids: dict[str, int],
    control_ids: frozenset[int],
    byte_ids: dict[int, int],
) -> list[tuple[str, str]]:
    """The file's merges, or for `llama` those its scores imply; that they join tokens is not checked yet.

    None makes a control or byte token: text that spells one must not become it.
    """
    if kind in ("bert", "t5"):
        return []
    barred = {tokens[index] for index in (*control_ids, *byte_ids)}
    if kind == "llama" and not reader.has("merges"):
        return _merges_from_scores(tokens, ids, reader.scores(len(tokens)), barred)
    merges = reader.pairs("merges", MERGES_PER_TOKEN * len(tokens))
    if not all(map(all, merges)):
        _refuse_bad_merge(reader, ids)
    if barred.isdisjoint(map("".join, merges)):
        return merges
    _refuse_bad_merge(reader, ids)
    return [merge for merge in merges if "".join(merge) not in barred]


def check_merges(model: HasMetadata, vocabulary: Vocabulary) -> None:
    """Raise BadModelFile for the first merge of the file that does not join two tokens into a third."""
    reader = MetadataReader(model)
    if vocabulary.merges and reader.has("merges"):
        _refuse_bad_merge(reader, vocabulary.ids)


def _refuse_bad_merge(reader: MetadataReader, ids: dict[str, int]) -> None:
    for index, line in enumerate(reader.strings("merges", MERGES_PER_TOKEN * len(ids))):
        left, _, right = line.partition(" ")
        if not left or not right or left not in ids or right not in ids or left + right not in ids:
            raise reader.bad("merges", f"merge {index} ({line[:40]!r}) does not join two tokens into a third")


def _merges_from_scores(
    tokens: list[str], ids: dict[str, int], scores: list[float], barred: set[str]
) -> list[tuple[str, str]]:
    """Every way to make a token of two others, best score first, as transformers derives them."""
    found: list[tuple[float, int, int, str, str]] = []
    lengths = sorted({*map(len, tokens)})  # no others are tried: of a token of megabytes there are too many
    for index, token in enumerate(tokens):
        if len(token) < 2 or token in barred:
            continue
        cuts = [
            (left, right)
            for cut in lengths[: bisect_left(lengths, len(token))]
            if (left := token[:cut]) in ids and (right := token[cut:]) in ids
        ]
        cuts.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        found.extend((scores[index], len(left), len(right), left, right) for left, right in cuts)
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [(left, right) for *_, left, right in found]
