"""Parallel text, opened: a data set of the catalogue or a folder of one's own, as pairs of ids.

A folder holds a file for each part and language, with a sentence a line: train.de, train.en, val.de, val.en,
and any other part to be judged by, packed (.gz) or not. One vocabulary serves both languages.
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
    """Pairs to learn from and to be judged by, and what turns a sentence of either language into ids.

    validation_texts: the pairs of validation as they are written, one for one.
    sha256: of each file that was read, by name, in hex.
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
    """Read the parts train and val, and train or read the tokenizer; of settings, that and n_vocab hold.

    languages: source and answer, as "de-en". Raises BadInput naming the file, NetworkError, DiskError.
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
    ids, held_ids = encode_pairs(codec, train), encode_pairs(codec, validation)
    return ParallelCorpus(codec, ids, held_ids, validation, sha256)


def encode_pairs(codec: TextCodec, pairs: list[tuple[str, str]]) -> list[Pair]:
    """Each as a model reads it."""
    return [(encode_source(codec, source), encode_target(codec, answer)) for source, answer in pairs]


def nonempty_pairs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those with text on both sides; there is nothing to learn from the others."""
    return [(source, answer) for source, answer in pairs if source and answer]


def find_parallel_files(
    source: str, languages: str, *, progress: Progress = no_progress, notice: Notice = no_notice
) -> Files:
    """The two files of every part of a data set or folder: {"train": (source, answer), ...}.

    Raises BadInput for a name or languages that are not there, NetworkError, DiskError.
    """
    if (match := _LANGUAGES.fullmatch(languages)) is None or match[1] == match[2]:
        raise BadInput(f"the languages are {languages!a:.40}; expected two as their files end, such as de-en")
    if source.lower() in datasets.load():
        found = datasets.fetch(source, progress=progress, notice=notice)
    else:
        found = _in_folder(Path(source).expanduser())
    sides: dict[str, dict[str, Path]] = {}
    for name, path in sorted(found.items(), reverse=True):  # of train.de and train.de.gz the first counts
        part, _, language = name.removesuffix(".gz").rpartition(".")
        sides.setdefault(part, {})[language] = path
    wanted = match.groups()
    files = {
        part: (side[wanted[0]], side[wanted[1]]) for part, side in sides.items() if {*wanted} <= side.keys()
    }
    if not files:
        raise BadInput(
            f"{source} has no parallel text in {languages}; expected files such as {TRAIN}.{wanted[0]} and "
            f"{TRAIN}.{wanted[1]} (or .gz)"
        )
    return files


def _in_folder(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        known = choices("data", folder, datasets.load())
        raise BadInput(
            f"{known}; or a folder of parallel text of your own, which {display_path(folder)} is not"
        )
    return {path.name: path for path in folder.iterdir() if path.is_file()}
