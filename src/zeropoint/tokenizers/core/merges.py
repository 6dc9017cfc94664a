"""The merges of a BPE vocabulary, as the file lists them or as its scores imply them."""

from __future__ import annotations

import itertools
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
    """Every way to join two tokens into a third, best score first, as transformers derives them.

    Equal scores: the longest left part first, then the longest right part, then the order of ids. Start-up
    waits for this loop, so that it sorts tokens, not merges, and shares the strings of the vocabulary.
    """
    lengths = sorted({*map(len, tokens)})  # trying every split of a token of megabytes would take too long
    cuts = {length: lengths[:at][::-1] for at, length in enumerate(lengths)}
    find, score = ids.get, scores.__getitem__
    joined = [i for i, token in enumerate(tokens) if len(token) > 1 and token not in forbidden]
    joined.sort(key=score, reverse=True)
    merges: list[tuple[str, str]] = []
    for _, group in itertools.groupby(joined, key=score):
        first, equal = len(merges), list(group)
        for index in equal:
            token = tokens[index]
            merges += [
                (tokens[left], tokens[right])
                for cut in cuts[len(token)]
                if (left := find(token[:cut])) is not None and (right := find(token[cut:])) is not None
            ]
        if len(equal) > 1:
            merges[first:] = sorted(merges[first:], key=lambda pair: (*map(len, pair),), reverse=True)
    return merges
