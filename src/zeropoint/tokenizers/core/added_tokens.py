"""Added tokens: those that Hugging Face `tokenizers` matches in a text before pre-tokenization.

Each has four flags, as in tokenizer.json: `lstrip` and `rstrip` swallow the white space before and after the
token, `single_word` matches it only as a word of its own, and `normalized` matches it in the normalized text.
GGUF has no place for them. Our files hold them under `zeropoint.tokenizer.added_token_flags`: a JSON object
from each flag to the ids that have it, such as {"rstrip":[32000,32001]}. For a file without this key the
flags of a few published models are known by name, as in llama.cpp (`llama-vocab.cpp`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from zeropoint.tokenizers.core.metadata_reader import MetadataReader

if TYPE_CHECKING:
    import tokenizers

    from zeropoint.tokenizers.core.vocabulary import Vocabulary

__all__ = ["FLAGS", "FLAGS_KEY", "added_tokens", "hidden_name", "no_flags", "read_flags", "token_scanner"]

FLAGS_KEY = "zeropoint.tokenizer.added_token_flags"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
_SECRET = os.urandom(8).hex()
_MAX_CHARS = 1 << 24  # of the JSON text: four flags of every token
_PHI3 = re.compile(r"phi[-_ ]?3")
_PHI3_KEPT = ("<unk>", "<s>", "<|endoftext|>")  # Phi-3's special tokens without rstrip
_LSTRIP_MASK_PRE = ("jina-v2-de", "jina-v2-es", "jina-v2-code")
_LSTRIP_MASK_ARCHITECTURES = ("nomic-bert-moe", "jina-bert-v3")


def no_flags() -> dict[str, frozenset[int]]:
    """The flags of a vocabulary whose added tokens have none."""
    return dict.fromkeys(FLAGS, frozenset())


def read_flags(
    reader: MetadataReader, ids: Mapping[str, int], added: Sequence[int]
) -> dict[str, frozenset[int]]:
    """The ids that have each flag, as the file lists them or as known for its model.

    ids: by token. added: the control, unknown and user-defined tokens.
    """
    if reader.has(FLAGS_KEY):
        return _parse_flags(reader, len(ids))
    flags = no_flags()
    name, architecture = reader.general("name").lower(), reader.general("architecture")
    pre = reader.get_str("pre", "default")
    if pre in _LSTRIP_MASK_PRE or architecture in _LSTRIP_MASK_ARCHITECTURES:
        flags["lstrip"] = frozenset(ids[token] for token in ("<mask>",) if token in ids)
    elif _PHI3.search(name) and reader.get_str("model", "") == "llama":
        ends = {ids[token] for token in ("</s>",) if token in ids}
        flags["rstrip"] = frozenset(ends.union(added) - {ids.get(token, -1) for token in _PHI3_KEPT})
    elif "modern-bert" in name or "modernbert" in name:
        flags["lstrip"] = frozenset(ids[token] for token in ("[MASK]",) if token in ids)
    return flags


def _parse_flags(reader: MetadataReader, n_vocab: int) -> dict[str, frozenset[int]]:
    text = reader.get_str(FLAGS_KEY, None)
    try:
        content = json.loads(text[:_MAX_CHARS])
    except (ValueError, RecursionError):
        raise reader.error(FLAGS_KEY, "not valid JSON") from None
    flags: dict[str, frozenset[int]] = no_flags()
    for flag, ids in content.items() if isinstance(content, dict) else [("", [])]:
        items: list[Any] = ids if isinstance(ids, list) else [None]
        if flag not in FLAGS or not all(type(index) is int and 0 <= index < n_vocab for index in items):
            raise reader.error(FLAGS_KEY, f"must map {', '.join(FLAGS)} to lists of ids below {n_vocab}")
        flags[flag] = frozenset(items)
    return flags


def added_tokens(
    vocabulary: Vocabulary,
) -> tuple[list[tokenizers.AddedToken], list[tokenizers.AddedToken]]:
    """(control tokens, user-defined tokens that are not control tokens), each in the order of ids."""
    from tokenizers import AddedToken

    def make(index: int, special: bool) -> tokenizers.AddedToken:
        flags = {flag: index in vocabulary.flags[flag] for flag in FLAGS}
        return AddedToken(vocabulary.tokens[index], special=special, **flags)

    control = [make(index, True) for index in sorted(vocabulary.control_ids)]
    return control, [make(index, False) for index in vocabulary.user_ids() if vocabulary.tokens[index]]


def hidden_name(index: int) -> str:
    """A name for a control token that no text can spell: it is drawn anew in every process."""
    return f" \uffff{_SECRET}{index}"


def token_scanner(
    vocabulary: Vocabulary, normalizer: tokenizers.normalizers.Normalizer | None = None
) -> tokenizers.Tokenizer:
    """A tokenizer that only finds the added tokens in a text. normalizer: the one of the encoders."""
    from tokenizers import Tokenizer, models

    scanner = Tokenizer(models.WordLevel({"": 0}, unk_token=""))
    if normalizer is not None and vocabulary.flags["normalized"]:
        scanner.normalizer = normalizer
    control, user = added_tokens(vocabulary)
    scanner.add_special_tokens(control)
    scanner.add_tokens(user)
    return scanner
