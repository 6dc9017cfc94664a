"""The merges of a BPE vocabulary, as the file lists them or as its scores imply them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from zeropoint.tokenizers.core.metadata_reader import HasMetadata, MetadataReader

if TYPE_CHECKING:
    from zeropoint.tokenizers.core.vocabulary import Vocabulary

__all__ = ["check_merges", "read_merges"]

MAX_MERGES_PER_TOKEN = 32  # published vocabularies have at most about three


def read_merges(
    reader: MetadataReader,
    kind: str,
    tokens: list[str],
    ids: dict[str, int],
    control_ids: frozenset[int],
    byte_ids: dict[int, int],
) -> list[tuple[str, str]]:
    """The file's merges, or for `llama` those implied by its scores; not yet checked against the tokens.

    No merge may produce a control or byte token: text that spells one must not become it.
    """
    if kind in ("bert", "t5"):
        return []
    forbidden = {tokens[index] for index in (*control_ids, *byte_ids)}
    if kind == "llama" and not reader.has("merges"):
        return _merges_from_scores(tokens, ids, reader.scores(len(tokens)), forbidden)
    merges = reader.get_pairs("merges", MAX_MERGES_PER_TOKEN * len(tokens))
    products = list(map("".join, merges))
    if not all(map(all, merges)) or _longest_bytes(products) > _longest_bytes(tokens):
        _check_merges(reader, ids)  # the library would panic
    if forbidden.isdisjoint(products):
        return merges
    _check_merges(reader, ids)
    return [merge for merge in merges if "".join(merge) not in forbidden]


def _longest_bytes(strings: Sequence[str]) -> int:
    """The length of the longest string in UTF-8, where a character has at most four bytes."""
    longest = max(map(len, strings), default=0)
    return max((len(text.encode()) for text in strings if 4 * len(text) >= longest), default=0)


def check_merges(model: HasMetadata, vocabulary: Vocabulary) -> None:
    """Raise BadModelFile for the first merge that does not join two tokens into a third."""
    reader = MetadataReader(model)
    if vocabulary.merges and reader.has("merges"):
        _check_merges(reader, vocabulary.ids)


def _check_merges(reader: MetadataReader, ids: dict[str, int]) -> None:
    for index, line in enumerate(reader.get_strings("merges", MAX_MERGES_PER_TOKEN * len(ids))):
        left, _, right = line.partition(" ")
        if not left or not right or left not in ids or right not in ids or left + right not in ids:
            raise reader.error("merges", f"merge {index} ({line[:40]!r}) must join two tokens into a third")


def _merges_from_scores(
    tokens: list[str], ids: dict[str, int], scores: list[float], forbidden: set[str]
) -> list[tuple[str, str]]:
    """Every way to join two tokens into a third, best score first, as transformers derives them."""
    scored: list[tuple[float, int, int, str, str]] = []
    lengths = sorted({*map(len, tokens)})  # trying every split of a token of megabytes would take too long
    for index, token in enumerate(tokens):
        if len(token) < 2 or token in forbidden:
            continue
        splits = [
            (left, right)
            for length in lengths[: bisect_left(lengths, len(token))]
            if (left := token[:length]) in ids and (right := token[length:]) in ids
        ]
        splits.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        scored.extend((scores[index], len(left), len(right), left, right) for left, right in splits)
    scored.sort(key=lambda merge: merge[:3], reverse=True)
    return [(left, right) for *_, left, right in scored]
