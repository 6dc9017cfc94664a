"""A unigram language model over pieces of words, trained by expectation-maximisation on a text.

Kudo 2018 (https://arxiv.org/abs/1804.10959), as in SentencePiece: each piece has a probability, a word's
probability is the sum over all ways to cut it, and a text is encoded by the most probable cut (Viterbi).
Training begins with many frequent substrings and drops those whose loss costs least, again and again.
A character that has no piece is written as its UTF-8 bytes, so every text can be encoded. A space is
U+2581 and one is put before the text; so U+2581 in a text is decoded as a space.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.errors import BadInput, BadModelFile
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.core.vocabulary import SPACE
from zeropoint.tokenizers.train.lattice import MAX_PIECE_CHARS, expected_counts, viterbi

if TYPE_CHECKING:
    import tokenizers

__all__ = ["UnigramTokenizer", "split_words", "train_unigram"]

KIND = "zeropoint.unigram"
N_RESERVED = 257  # <unk>, then the bytes <0x00> to <0xFF>
SEED_FACTOR = 8  # substrings to begin with, for each piece wanted
SHRINKING_FACTOR = 0.75  # of the pieces, in each round
_NEVER = -1e6  # nats: no cut of known characters is as bad
UNKNOWN_PENALTY = 10.0  # nats below the rarest piece, as in SentencePiece


@frozen
class UnigramTokenizer:
    """pieces: piece to natural-log probability, in the order of ids, which begin at N_RESERVED."""

    pieces: Mapping[str, float]

    @property
    def n_vocab(self) -> int:
        """Number of tokens: <unk>, 256 bytes and the pieces."""
        return N_RESERVED + len(self.pieces)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: index for index, piece in enumerate(self.pieces, N_RESERVED)}

    @cached_property
    def _spelled(self) -> list[str]:
        return list(self.pieces)

    def encode(self, text: str) -> list[int]:
        """The most probable cut of each word of `text`; unknown characters as their bytes."""
        ids: list[int] = []
        unknown = min(self.pieces.values()) - UNKNOWN_PENALTY
        for word in split_words(check_unicode(text)):
            for piece in viterbi(word, self.pieces, unknown):
                known = self._ids.get(piece)
                ids += [1 + byte for byte in piece.encode()] if known is None else [known]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; bytes that are not UTF-8 become U+FFFD. Raises BadInput on an unknown id."""
        data = bytearray()
        for index in ids:
            if not 0 <= index < self.n_vocab:
                raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
            if index >= N_RESERVED:
                data += self._spelled[index - N_RESERVED].replace(SPACE, " ").encode()
            elif index:
                data.append(index - 1)
        return data.decode("utf-8", "replace").removeprefix(" ")

    def library(self) -> tokenizers.Tokenizer:
        """The same tokenizer as an object of the `tokenizers` library, which encodes faster.

        Text that spells a byte token (`<0x41>`) becomes it if "<" or another character of it is unknown.
        """
        from tokenizers import Tokenizer, decoders, models

        names = [" ", *(f"<0x{byte:02X}>" for byte in range(256))]  # a space: no text has one by then
        reserved = [(name, _NEVER) for name in names]
        made = Tokenizer(models.Unigram([*reserved, *self.pieces.items()], unk_id=0, byte_fallback=True))
        _set_words(made)
        steps: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        made.decoder = decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)])
        return made

    def save(self, path: Path) -> None:
        """Write a JSON file that `load` reads."""
        content = {"kind": KIND, "pieces": list(self.pieces.items())}
        path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")

    @classmethod
    def load(cls, path: Path) -> UnigramTokenizer:
        """Read what `save` wrote. Raises BadModelFile naming the file and what is wrong with it."""
        try:
            content: Any = json.loads(path.read_text("utf-8"))
            if not isinstance(content, dict) or content.get("kind") != KIND:
                raise ValueError(f"`kind` must be {KIND!r}")
            pieces = {check_unicode(piece, "a piece"): float(score) for piece, score in content["pieces"]}
            if not pieces or len(pieces) != len(content["pieces"]):
                raise ValueError("`pieces` must be one or more and all different")
            if not all(0 < len(piece) <= MAX_PIECE_CHARS for piece in pieces):
                raise ValueError(f"a piece has 1 to {MAX_PIECE_CHARS} characters")
            if not all(-math.inf < score <= 0 for score in pieces.values()):
                raise ValueError("a score must be the logarithm of a probability")
        except (OSError, ValueError, KeyError, TypeError, RecursionError, BadInput) as failure:
            raise BadModelFile(f"{path}: no unigram tokenizer: {failure}") from None
        return cls(pieces)


def train_unigram(text: str, n_vocab: int, *, fast: bool = False) -> UnigramTokenizer:
    """At most n_vocab tokens, <unk>, bytes and single characters among them, trained on `text`.

    fast: train with the `tokenizers` library, which begins with other substrings and so ends with other
    pieces. Raises BadInput if n_vocab has no room for the characters of the text.
    """
    counts = Counter(split_words(check_unicode(text)))
    characters = {character for word in counts for character in word}
    if not characters or n_vocab < N_RESERVED + len(characters):
        raise BadInput(
            f"{n_vocab} tokens have no room for <unk>, 256 bytes and the {len(characters)} characters of "
            f"the text; give a text and at least {N_RESERVED + len(characters)}"
        )
    n_pieces = n_vocab - N_RESERVED
    if fast:
        return UnigramTokenizer(_train_fast(text, n_pieces, characters))
    pieces = seed_pieces(counts, SEED_FACTOR * n_pieces)
    while True:
        for _ in range(2):
            pieces, _ = em_step(pieces, counts)
        if len(pieces) <= n_pieces:
            break
        pieces = prune(pieces, counts, max(n_pieces, int(SHRINKING_FACTOR * len(pieces))))
    return UnigramTokenizer(dict(sorted(pieces.items(), key=lambda item: (-item[1], item[0]))))


def seed_pieces(counts: Mapping[str, int], n_seeds: int) -> dict[str, float]:
    """All characters, and the substrings of words, seen twice or more, that cover the most text."""
    found: Counter[str] = Counter()
    for word, count in counts.items():
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + MAX_PIECE_CHARS, len(word)) + 1):
                found[word[begin:end]] += count
    characters = [piece for piece in found if len(piece) == 1]
    longer = [piece for piece, count in found.items() if len(piece) > 1 and count > 1]
    longer.sort(key=lambda piece: (-found[piece] * len(piece), piece))
    return _log_shares({piece: found[piece] for piece in characters + longer[:n_seeds]})


def em_step(pieces: Mapping[str, float], counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
    """One step of EM: (new log-probabilities, the loss of the old ones in nats a word)."""
    expected = dict.fromkeys(pieces, 0.0)
    total = 0.0
    for word, count in counts.items():
        log_z, found = expected_counts(word, pieces)
        total -= count * log_z
        for piece, share in found.items():
            expected[piece] += count * share
    return _log_shares(expected), total / sum(counts.values())


def prune(pieces: Mapping[str, float], counts: Mapping[str, int], n_kept: int) -> dict[str, float]:
    """The n_kept pieces that are missed most; single characters always stay.

    Missing a piece costs, each time the best cut uses it, what its own next best cut is less probable.
    """
    used: Counter[str] = Counter()
    for word, count in counts.items():
        for piece in viterbi(word, pieces, -math.inf):
            used[piece] += count
    cost = {}
    for piece, score in pieces.items():
        if len(piece) > 1:
            others = viterbi(piece, pieces, -math.inf, without=piece)
            cost[piece] = used[piece] * (score - sum(pieces[other] for other in others))
    n_longer = max(0, n_kept - (len(pieces) - len(cost)))
    kept = set(sorted(cost, key=lambda piece: (-cost[piece], piece))[:n_longer])
    return {piece: score for piece, score in pieces.items() if len(piece) == 1 or piece in kept}


def split_words(text: str) -> list[str]:
    """Words with the U+2581 that begins each; a run of spaces is empty words. Nothing is lost."""
    marked = (SPACE + text if text else "").replace(" ", SPACE)
    return [SPACE + word for word in marked.split(SPACE)[1:]]


def _log_shares(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {piece: math.log(max(count / total, 1e-30)) for piece, count in counts.items()}


def _set_words(made: tokenizers.Tokenizer) -> None:
    """split_words. (Metaspace itself would put no space before a text that begins with one.)"""
    from tokenizers import normalizers, pre_tokenizers

    made.normalizer = normalizers.Prepend(SPACE)
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True)


def _train_fast(text: str, n_pieces: int, characters: set[str]) -> dict[str, float]:
    from tokenizers import Tokenizer, models, trainers

    made = Tokenizer(models.Unigram())
    _set_words(made)
    made.train_from_iterator(
        [text],
        trainers.UnigramTrainer(
            vocab_size=n_pieces + 1,
            max_piece_length=MAX_PIECE_CHARS,
            initial_alphabet=sorted(characters),
            special_tokens=["<unk>"],
            unk_token="<unk>",
            show_progress=False,
        ),
    )
    vocab = json.loads(made.to_str())["model"]["vocab"]
    found = {piece: float(score) for piece, score in vocab if piece != "<unk>"}
    lowest = min(found.values())
    longer = sorted((p for p in found if len(p) > 1), key=lambda piece: -found[piece])
    kept = [*sorted(characters), *longer[: n_pieces - len(characters)]]
    pieces = {piece: found.get(piece, lowest) for piece in kept}
    return dict(sorted(pieces.items(), key=lambda item: (-item[1], item[0])))
