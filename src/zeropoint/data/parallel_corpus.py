"""Open a parallel corpus for translation, from the catalogue or a folder, as pairs of token ids.

A folder has one file per part and language with one sentence per line: train.de, train.en, val.de, val.en and
optionally more parts for evaluation, compressed (.gz) or not. Both languages share one vocabulary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.catalogue import datasets
from zeropoint.catalogue.download.progress import Notice, Progress, no_notice, no_progress
from zeropoint.data.pairs import Pair, encode_source, encode_target, read_pairs
from zeropoint.data.text_codec import TextCodec, load_codec, train_codec
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput, choices
from zeropoint.files.hashing import sha256_of
from zeropoint.files.paths import display_path

__all__ = [
    "TRAIN",
    "VALIDATION",
    "ParallelCorpus",
    "encode_pairs",
    "find_parallel_files",
    "nonempty_pairs",
    "open_parallel_corpus",
]  # fmt: skip

TRAIN, VALIDATION = "train", "val"
_LANGUAGES = re.compile(r"([a-z]{2,8})-([a-z]{2,8})")
Files = Mapping[str, tuple[Path, Path]]


@dataclass(frozen=True, eq=False)
class ParallelCorpus:
    """Training and validation pairs as ids, and the codec of both languages.

    validation_texts: the validation pairs as text, in the same order. sha256: of each file by name, in hex.
    """

    codec: TextCodec
    train: list[Pair]
    validation: list[Pair]
    validation_texts: list[tuple[str, str]]
    sha256: dict[str, str]


def open_parallel_corpus(
    source: str,
    languages: str,
    settings: TokenizeOptions,
    *,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
) -> ParallelCorpus:
    """Read the parts train and val, and train or load the tokenizer; uses only `tokenizer` and `n_vocab`.

    languages: source and target, like "de-en". Raises BadInput naming the file, NetworkError, DiskError.
    """
    files = find_parallel_files(source, languages, progress=progress, notice=notice)
    for part in (TRAIN, VALIDATION):
        if part not in files:
            raise BadInput(
                f"{source} has no part `{part}` in {languages}; training needs {TRAIN} and {VALIDATION}"
            )
    train, validation = (nonempty_pairs(read_pairs(*files[part])) for part in (TRAIN, VALIDATION))
    if settings.is_trained:
        texts = [text for side in zip(*train, strict=True) for text in side]
        codec = train_codec(settings.tokenizer, texts, n_vocab=settings.n_vocab, has_end=True)
    else:
        codec = load_codec(Path(settings.tokenizer).expanduser())
    paths = [path for part in (TRAIN, VALIDATION) for path in files[part]]
    sha256 = {path.name: sha256_of(path) for path in paths}
    train_ids, validation_ids = encode_pairs(codec, train), encode_pairs(codec, validation)
    return ParallelCorpus(codec, train_ids, validation_ids, validation, sha256)


def encode_pairs(codec: TextCodec, pairs: list[tuple[str, str]]) -> list[Pair]:
    """Encode each pair for the encoder and the decoder."""
    return [(encode_source(codec, source), encode_target(codec, target)) for source, target in pairs]


def nonempty_pairs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs with text on both sides."""
    return [(source, target) for source, target in pairs if source and target]


def find_parallel_files(
    source: str, languages: str, *, progress: Progress = no_progress, notice: Notice = no_notice
) -> Files:
    """The two files of every part of a data set or folder: {"train": (source, target), ...}.

    Raises BadInput for an unknown name or missing languages, NetworkError, DiskError.
    """
    if (match := _LANGUAGES.fullmatch(languages)) is None or match[1] == match[2]:
        raise BadInput(f"the languages are {languages!a:.40}; expected two file endings, like de-en")
    if source.lower() in datasets.load():
        paths = datasets.fetch(source, progress=progress, notice=notice)
    else:
        paths = _in_folder(Path(source).expanduser())
    parts: dict[str, dict[str, Path]] = {}
    for name, path in sorted(paths.items(), reverse=True):  # train.de takes precedence over train.de.gz
        part, _, language = name.removesuffix(".gz").rpartition(".")
        parts.setdefault(part, {})[language] = path
    first, second = match.groups()
    files = {
        part: (path_of[first], path_of[second])
        for part, path_of in parts.items()
        if first in path_of and second in path_of
    }
    if not files:
        raise BadInput(
            f"{source} has no parallel text in {languages}; expected files like {TRAIN}.{first} and "
            f"{TRAIN}.{second} (or .gz)"
        )
    return files


def _in_folder(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        known = choices("data", folder, datasets.load())
        raise BadInput(
            f"{known}; or give a folder with parallel text ({display_path(folder)} is not a folder)"
        )
    return {path.name: path for path in folder.iterdir() if path.is_file()}
