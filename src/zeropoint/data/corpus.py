"""What a model is trained on, opened: a name of the catalogue, files of one's own, or prepared shards.

    corpus = open_corpus("shakespeare")
    train, validation = corpus.batches("windows", n_ctx=64, n_rows=12, seed=1337)

A short text is tokenised in memory; more than that once, into the cache, and from then on mapped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.catalogue import cache, datasets
from zeropoint.catalogue.download.download_files import create_folder
from zeropoint.data.batches import Batches, RandomWindows, Tokens
from zeropoint.data.completion_loss import CompletionBatches
from zeropoint.data.documents import find_sources
from zeropoint.data.fingerprints import changed_sources, check_unchanged, fingerprints
from zeropoint.data.pack import PackedRows
from zeropoint.data.prepare import Notice, Progress, is_prepared, prepare
from zeropoint.data.shards import read_shards
from zeropoint.data.text_codec import TextCodec
from zeropoint.data.tokenize import TokenizeOptions, build_codec, scan_corpus, tokenize_corpus
from zeropoint.errors import BadInput, choices
from zeropoint.files.hashing import combined_sha256
from zeropoint.files.paths import display_path
from zeropoint.settings import Settings as Preferences

__all__ = ["ORDERS", "Corpus", "find_data", "open_corpus"]

ORDERS = ("windows", "epochs")
_IN_MEMORY_BYTES = 32 << 20  # files of more than that go through the cache


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text as ids, in two parts that share nothing.

    coding: encodes and decodes; its content is the `tokenizer.json` of a model that is trained on this.
    sha256: of the file, or of all files together, in hex. marks_prompts: whether prompts are told apart from
    answers, by ids that are n_vocab higher; batches then ask for answers alone.
    """

    name: str
    codec: TextCodec
    train: Tokens
    validation: Tokens
    sha256: str
    marks_prompts: bool = False

    def batches(self, order: str, *, n_ctx: int, n_rows: int, seed: int) -> tuple[Batches, Batches]:
        """What is learned from, and what is judged by, in rows of n_ctx tokens and the tokens after each.

        order: "windows" begins rows anywhere, with replacement, on both sides (nanoGPT); "epochs" has every
        token once an epoch in an order that the seed shuffles, and judges by rows as they stand.
        Raises BadInput if a side has too little text.
        """
        if order not in ORDERS:
            raise BadInput(choices("order", order, ORDERS))

        def of(part: str, ids: Tokens, shuffle: int | None) -> Batches:
            try:
                made: Batches = (
                    PackedRows(ids, n_ctx, n_rows, shuffle)
                    if order == "epochs"
                    else RandomWindows(ids, n_ctx, n_rows, seed)
                )
            except BadInput as error:
                raise BadInput(f"{self.name}, what is {part}: {error}") from None
            return CompletionBatches(made, self.codec.n_vocab) if self.marks_prompts else made

        return of("learned from", self.train, seed), of("held out", self.validation, None)


def open_corpus(
    source: str | Path,
    settings: TokenizeOptions | None = None,
    *,
    preferences: Preferences | None = None,
    progress: Progress = lambda total, done: None,
    notice: Notice = lambda text: None,
) -> Corpus:
    """Open a data set's name, a file, a folder of files, or a folder of shards.

    Of settings, shards ask for the `loss` that they were made with; in all else they have their own.

    progress: of a download, in bytes, or of tokenising, in characters. Raises BadInput naming the file or
    field, NetworkError, DiskError.
    """
    settings, preferences = settings or TokenizeOptions(), preferences or Preferences.read()
    path = find_data(source, preferences=preferences, progress=progress, notice=notice)
    if is_prepared(path):
        notice(f"{source} is prepared, with a tokenizer and a split of its own")
        return _prepared(path, str(source), settings)
    n_bytes = sum(item.path.stat().st_size for item in find_sources(path))
    if n_bytes <= _IN_MEMORY_BYTES:
        return _in_memory(path, str(source), settings, notice)
    key = combined_sha256(str(path.absolute()), repr(settings))
    folder = cache.home(preferences) / "prepared" / f"{path.stem}-{key[:16]}"
    create_folder(folder.parent)
    with cache.hold(folder, f"{source} is being tokenized", notice):
        if not is_prepared(folder):
            notice(f"tokenising {source} ({n_bytes / 1e6:,.0f} MB) once; from then on it is here")
        prepare(path, folder, settings, progress=progress, notice=notice)
    return _prepared(folder, str(source), settings)


def find_data(
    source: str | Path,
    *,
    preferences: Preferences,
    progress: Progress = lambda total, done: None,
    notice: Notice = lambda text: None,
) -> Path:
    """The file or folder that a name or path means; a name of the catalogue comes first (`./name` is a path).

    Raises BadInput, NetworkError, DiskError.
    """
    if isinstance(source, str) and source.lower() in datasets.load():
        files = [file.file for file in datasets.find(source).files]
        if len(files) > 1:
            raise BadInput(
                f"the data set {source} is not one text but {len(files)} files ({', '.join(files)});"
                " name one that is, or a path"
            )
        found = datasets.fetch(source, settings=preferences, progress=progress, notice=notice)
        return found[files[0]]
    path = Path(source).expanduser()
    if not str(source) or not path.exists():  # the path of "" would be the folder that one is in
        known = choices("data set", source, datasets.load())
        raise BadInput(
            f"{known}; or the path of a file or folder of your own, which {display_path(path)} is not"
        )
    return path


def _prepared(folder: Path, name: str, settings: TokenizeOptions) -> Corpus:
    manifest, codec, ids = read_shards(folder)
    if manifest.loss != settings.loss:
        raise BadInput(
            f"the shards in {display_path(folder)} were made with loss={manifest.loss}, not "
            f"{settings.loss}; set "
            f"data.loss={manifest.loss}, or prepare them again with --loss {settings.loss}"
        )
    root = Path(manifest.root)
    if root.exists() and (odd := changed_sources(root, manifest.sources)):
        raise BadInput(
            f"{odd[0]} of {display_path(root)} was changed since the shards in {display_path(folder)} were "
            "made of it;"
            f" prepare them again: zeropoint data prepare {display_path(root)} --out {display_path(folder)}"
        )
    sha256 = _sum_of_all({name: item.sha256 for name, item in manifest.sources.items()})
    return Corpus(name, codec, ids["train"], ids["validation"], sha256, manifest.loss == "completion")


def _in_memory(path: Path, name: str, settings: TokenizeOptions, notice: Notice) -> Corpus:
    sums = fingerprints(path)
    found = scan_corpus(path, settings, notice)
    codec = build_codec(found, settings)
    parts = list(tokenize_corpus(found, settings, codec))
    train, held = np.concatenate([p.train for p in parts]), np.concatenate([p.held for p in parts])
    check_unchanged(path, sums)
    sha256 = _sum_of_all({name: item.sha256 for name, item in sums.items()})
    return Corpus(name, codec, train, held, sha256, settings.loss == "completion")


def _sum_of_all(sums: Mapping[str, str]) -> str:
    """The sum of the only file, or one over the names and sums of all."""
    if len(sums) == 1:
        return next(iter(sums.values()))
    return combined_sha256(*(f"{sha256} {name}" for name, sha256 in sorted(sums.items())))
