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
from zeropoint.data.pairs import Pair, encode_answer, encode_source, read_pairs
from zeropoint.data.text_codec import TextCodec, load_codec, train_coding
from zeropoint.data.tokenise import TokenizeOptions
from zeropoint.errors import BadInput, choices
from zeropoint.files.hashing import sha256_of
from zeropoint.files.paths import display_path

__all__ = [
    "TRAIN", "VALIDATION", "Parallel", "encode_pairs", "find_parallel", "open_parallel", "whole_pairs",
]  # fmt: skip

TRAIN, VALIDATION = "train", "val"
_LANGUAGES = re.compile(r"([a-z]{2,8})-([a-z]{2,8})")
Files = Mapping[str, tuple[Path, Path]]


@dataclass(frozen=True, eq=False)
class Parallel:
    """Pairs to learn from and to be judged by, and what turns a sentence of either language into ids.

    validation_texts: the pairs of validation as they are written, one for one.
    sha256: of each file that was read, by name, in hex.
    """

    coding: TextCodec
    train: list[Pair]
    validation: list[Pair]
    validation_texts: list[tuple[str, str]]
    sha256: dict[str, str]


def open_parallel(
    source: str,
    languages: str,
    settings: TokenizeOptions,
    *,
    progress: Progress = no_progress,
    notice: Notice = no_notice,
) -> Parallel:
    """Read the parts train and val, and train or read the tokenizer; of settings, that and n_vocab hold.

    languages: source and answer, as "de-en". Raises BadInput naming the file, NetworkError, DiskError.
    """
    files = find_parallel(source, languages, progress=progress, notice=notice)
    for part in (TRAIN, VALIDATION):
        if part not in files:
            raise BadInput(
                f"{source} has no part `{part}` in {languages}; training needs {TRAIN} and {VALIDATION}"
            )
    train, validation = (whole_pairs(read_pairs(*files[part])) for part in (TRAIN, VALIDATION))
    if settings.is_trained:
        texts = [text for side in zip(*train, strict=True) for text in side]
        coding = train_coding(settings.tokenizer, texts, n_vocab=settings.n_vocab, has_end=True)
    else:
        coding = load_codec(Path(settings.tokenizer).expanduser())
    paths = [path for part in (TRAIN, VALIDATION) for path in files[part]]
    sha256 = {path.name: sha256_of(path) for path in paths}
    ids, held_ids = encode_pairs(coding, train), encode_pairs(coding, validation)
    return Parallel(coding, ids, held_ids, validation, sha256)


def encode_pairs(coding: TextCodec, pairs: list[tuple[str, str]]) -> list[Pair]:
    """Each as a model reads it."""
    return [(encode_source(coding, source), encode_answer(coding, answer)) for source, answer in pairs]


def whole_pairs(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Those with text on both sides; there is nothing to learn from the others."""
    return [(source, answer) for source, answer in pairs if source and answer]


def find_parallel(
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
