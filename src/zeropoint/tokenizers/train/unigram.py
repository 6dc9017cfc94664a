"""Train a unigram language model over subword pieces by expectation-maximization.

Kudo 2018 (https://arxiv.org/abs/1804.10959), as in SentencePiece: each piece has a probability, a word's
probability is the sum over its segmentations, and text is encoded by the most probable segmentation
(Viterbi). Training starts from many frequent substrings and repeatedly prunes those whose removal costs the
least likelihood. An unknown character falls back to its UTF-8 bytes, so every text can be encoded. A space is
U+2581, and one is prepended to the text; a U+2581 in the text therefore decodes to a space.
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
from zeropoint.files.atomic_write import replace_file
from zeropoint.files.json_text import read_json
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.metadata_reader import MAX_FILE_BYTES
from zeropoint.tokenizers.core.pipeline import SPACE
from zeropoint.tokenizers.core.sanitize import check_unicode
from zeropoint.tokenizers.train.lattice import MAX_PIECE_CHARS, expected_counts, viterbi

if TYPE_CHECKING:
    import tokenizers

__all__ = ["UnigramTokenizer", "split_words", "train_unigram"]

KIND = "zeropoint.unigram"
N_RESERVED = 257  # <unk>, then the bytes <0x00> to <0xFF>
SEED_FACTOR = 8  # initial substrings per piece of the final vocabulary
SHRINKING_FACTOR = 0.75  # fraction of pieces that survives each pruning round
_UNREACHABLE_SCORE = -1e6  # nats; any segmentation into known characters is more probable
UNKNOWN_PENALTY = 10.0  # nats below the rarest piece, as in SentencePiece


@frozen
class UnigramTokenizer:
    """A unigram vocabulary. pieces: piece to natural log-probability, in id order from N_RESERVED."""

    pieces: Mapping[str, float]

    @property
    def n_vocab(self) -> int:
        """Number of tokens: <unk>, 256 bytes and the pieces."""
        return N_RESERVED + len(self.pieces)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {piece: index for index, piece in enumerate(self.pieces, N_RESERVED)}

    @cached_property
    def _pieces_by_id(self) -> list[str]:
        return list(self.pieces)

    def encode(self, text: str) -> list[int]:
        """The most probable segmentation of each word of `text`, with byte fallback."""
        ids: list[int] = []
        unknown = min(self.pieces.values()) - UNKNOWN_PENALTY
        for word in split_words(check_unicode(text)):
            for piece in viterbi(word, self.pieces, unknown):
                known = self._ids.get(piece)
                ids += [1 + byte for byte in piece.encode()] if known is None else [known]
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; invalid UTF-8 becomes U+FFFD. Raises BadInput on an unknown id."""
        data = bytearray()
        for index in ids:
            if not 0 <= index < self.n_vocab:
                raise BadInput(f"token id {index} is outside the vocabulary of {self.n_vocab} tokens")
            if index >= N_RESERVED:
                data += self._pieces_by_id[index - N_RESERVED].replace(SPACE, " ").encode()
            elif index:
                data.append(index - 1)
        return data.decode("utf-8", "replace").removeprefix(" ")

    def hf_tokenizer(self) -> tokenizers.Tokenizer:
        """The same tokenizer in Hugging Face `tokenizers`, which encodes faster.

        Text that spells a byte token (`<0x41>`) encodes to it if "<" or another of its characters is unknown.
        """
        from tokenizers import Tokenizer, decoders, models

        names = [
            " ",
            *(f"<0x{byte:02X}>" for byte in range(256)),
        ]  # <unk> is " ", which pre-tokenization removes
        reserved = [(name, _UNREACHABLE_SCORE) for name in names]
        encoder = Tokenizer(models.Unigram([*reserved, *self.pieces.items()], unk_id=0, byte_fallback=True))
        _set_pre_tokenizer(encoder)
        steps: list[Any] = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
        encoder.decoder = decoders.Sequence([*steps, decoders.Strip(content=" ", left=1)])
        return encoder

    def save(self, path: Path) -> None:
        """Write the JSON file that `load` reads. Raises BadInput, DiskError."""
        content = {"kind": KIND, "pieces": list(self.pieces.items())}
        replace_file(path, json.dumps(content, ensure_ascii=False).encode())

    @classmethod
    def load(cls, path: Path) -> UnigramTokenizer:
        """Read a file written by `save`. Raises BadModelFile naming the file and the problem."""
        try:
            content = read_json(path, MAX_FILE_BYTES)
            if not isinstance(content, dict) or content.get("kind") != KIND:
                raise ValueError(f"`kind` must be {KIND!r}")
            pieces = {check_unicode(piece, "a piece"): float(score) for piece, score in content["pieces"]}
            if not pieces or len(pieces) != len(content["pieces"]):
                raise ValueError("`pieces` must be at least one piece, without duplicates")
            if not all(0 < len(piece) <= MAX_PIECE_CHARS for piece in pieces):
                raise ValueError(f"a piece must have 1 to {MAX_PIECE_CHARS} characters")
            if not all(-math.inf < score <= 0 for score in pieces.values()):
                raise ValueError("a score must be the logarithm of a probability")
        except (OSError, ValueError, KeyError, TypeError, BadInput) as failure:
            raise BadModelFile(f"{path} is not a unigram tokenizer: {failure}") from None
        return cls(pieces)


def train_unigram(text: str, n_vocab: int, *, fast: bool = False) -> UnigramTokenizer:
    """Train on `text`: at most n_vocab tokens, including <unk>, 256 bytes and every single character.

    fast: train with the `tokenizers` library, whose initial substrings and therefore pieces differ.
    Raises BadInput if n_vocab is too small for the characters of the text.
    """
    counts = Counter(split_words(check_unicode(text)))
    characters = {character for word in counts for character in word}
    if not characters or n_vocab < N_RESERVED + len(characters):
        raise BadInput(
            f"a vocabulary of {n_vocab} cannot hold <unk>, 256 bytes and the {len(characters)} characters of "
            f"the text; give a non-empty text and at least {N_RESERVED + len(characters)} tokens"
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
    """All characters, and the substrings that occur at least twice and cover the most text."""
    substrings: Counter[str] = Counter()
    for word, count in counts.items():
        for begin in range(len(word)):
            for end in range(begin + 1, min(begin + MAX_PIECE_CHARS, len(word)) + 1):
                substrings[word[begin:end]] += count
    characters = [piece for piece in substrings if len(piece) == 1]
    longer = [piece for piece, count in substrings.items() if len(piece) > 1 and count > 1]
    longer.sort(key=lambda piece: (-substrings[piece] * len(piece), piece))
    return _log_probabilities({piece: substrings[piece] for piece in characters + longer[:n_seeds]})


def em_step(pieces: Mapping[str, float], counts: Mapping[str, int]) -> tuple[dict[str, float], float]:
    """One step of EM: (new log-probabilities, loss of the old ones in nats per word)."""
    expected = dict.fromkeys(pieces, 0.0)
    total = 0.0
    for word, count in counts.items():
        log_z, piece_counts = expected_counts(word, pieces)
        total -= count * log_z
        for piece, piece_count in piece_counts.items():
            expected[piece] += count * piece_count
    return _log_probabilities(expected), total / sum(counts.values())


def prune(pieces: Mapping[str, float], counts: Mapping[str, int], n_pieces: int) -> dict[str, float]:
    """The n_pieces pieces whose removal would cost the most likelihood; all single characters stay.

    Removing a piece costs, for each use in a best segmentation, the difference in log-probability to the best
    segmentation of the piece itself into others.
    """
    used: Counter[str] = Counter()
    for word, count in counts.items():
        for piece in viterbi(word, pieces, -math.inf):
            used[piece] += count
    cost = {}
    for piece, score in pieces.items():
        if len(piece) > 1:
            others = viterbi(piece, pieces, -math.inf, excluding=piece)
            cost[piece] = used[piece] * (score - sum(pieces[other] for other in others))
    n_longer = max(0, n_pieces - (len(pieces) - len(cost)))
    retained = set(sorted(cost, key=lambda piece: (-cost[piece], piece))[:n_longer])
    return {piece: score for piece, score in pieces.items() if len(piece) == 1 or piece in retained}


def split_words(text: str) -> list[str]:
    """Words, each beginning with U+2581; consecutive spaces give empty words, so nothing is lost."""
    marked = (SPACE + text if text else "").replace(" ", SPACE)
    return [SPACE + word for word in marked.split(SPACE)[1:]]


def _log_probabilities(counts: Mapping[str, float]) -> dict[str, float]:
    total = sum(counts.values())
    return {piece: math.log(max(count / total, 1e-30)) for piece, count in counts.items()}


def _set_pre_tokenizer(encoder: tokenizers.Tokenizer) -> None:
    """The equivalent of split_words. (Metaspace would not prepend a space to a text that begins with one.)"""
    from tokenizers import normalizers, pre_tokenizers

    encoder.normalizer = normalizers.Prepend(SPACE)
    encoder.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True)


def _train_fast(text: str, n_pieces: int, characters: set[str]) -> dict[str, float]:
    from tokenizers import Tokenizer, models, trainers

    encoder = Tokenizer(models.Unigram())
    _set_pre_tokenizer(encoder)
    encoder.train_from_iterator(
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
    vocab = json.loads(encoder.to_str())["model"]["vocab"]
    scores = {piece: float(score) for piece, score in vocab if piece != "<unk>"}
    lowest = min(scores.values())
    longer = sorted((piece for piece in scores if len(piece) > 1), key=lambda piece: -scores[piece])
    retained = [*sorted(characters), *longer[: n_pieces - len(characters)]]
    pieces = {piece: scores.get(piece, lowest) for piece in retained}
    return dict(sorted(pieces.items(), key=lambda item: (-item[1], item[0])))
