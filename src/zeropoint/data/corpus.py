"""Open a training corpus: a data set by name, your own files, or prepared shards.

    corpus = open_corpus("shakespeare")
    train, validation = corpus.batches("windows", n_ctx=64, n_rows=12, seed=1337)

Texts of up to 32 MiB are tokenized in memory. Longer ones are tokenized once, into shards in the cache, which
are then memory-mapped.
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
_IN_MEMORY_BYTES = 32 << 20  # larger corpora are tokenized into the cache


@dataclass(frozen=True, eq=False)
class Corpus:
    """A tokenized text in two disjoint parts.

    codec: the tokenizer; its content becomes the `tokenizer.json` of models trained on this corpus. sha256:
    of the file, or of all files together, in hex. marks_prompts: whether the ids of prompts are n_vocab
    higher, so that the loss covers only completions.
    """

    name: str
    codec: TextCodec
    train: Tokens
    validation: Tokens
    sha256: str
    marks_prompts: bool = False

    def batches(self, order: str, *, n_ctx: int, n_rows: int, seed: int) -> tuple[Batches, Batches]:
        """Training and validation batches of n_rows rows with n_ctx tokens each.

        order: "windows" cuts rows at random positions, with replacement, from both parts (nanoGPT); "epochs"
        covers every token once per epoch, shuffled for training and in order for validation.
        Raises BadInput for a batch size or n_ctx below 1, or a part with too little text.
        """
        if order not in ORDERS:
            raise BadInput(choices("order", order, ORDERS))

        def part_batches(part: str, ids: Tokens, shuffle_seed: int | None) -> Batches:
            try:
                batches: Batches = (
                    PackedRows(ids, n_ctx, n_rows, shuffle_seed)
                    if order == "epochs"
                    else RandomWindows(ids, n_ctx, n_rows, seed)
                )
            except BadInput as error:
                raise BadInput(f"{self.name}, {part} part: {error}") from None
            return CompletionBatches(batches, self.codec.n_vocab) if self.marks_prompts else batches

        return part_batches("training", self.train, seed), part_batches("validation", self.validation, None)


def open_corpus(
    source: str | Path,
    settings: TokenizeOptions | None = None,
    *,
    preferences: Preferences | None = None,
    progress: Progress = lambda total, done: None,
    notice: Notice = lambda text: None,
) -> Corpus:
    """Open a data set by name, a file, a folder of files, or a folder of shards.

    settings: how to tokenize. Prepared shards have their own settings and only check `loss`. progress: of a
    download in bytes, or of tokenization in characters. Raises BadInput naming the file or field,
    NetworkError, DiskError.
    """
    settings, preferences = settings or TokenizeOptions(), preferences or Preferences.read()
    path = find_data(source, preferences=preferences, progress=progress, notice=notice)
    if is_prepared(path):
        notice(f"{source} is a folder of shards; using its own tokenizer and split")
        return _open_shards(path, str(source), settings)
    n_bytes = sum(item.path.stat().st_size for item in find_sources(path))
    if n_bytes <= _IN_MEMORY_BYTES:
        return _in_memory(path, str(source), settings, notice)
    key = combined_sha256(str(path.absolute()), repr(settings))
    folder = cache.home(preferences) / "prepared" / f"{path.stem}-{key[:16]}"
    create_folder(folder.parent)
    with cache.hold(folder, f"{source} is being tokenized", notice):
        if not is_prepared(folder):
            notice(f"tokenizing {source} ({n_bytes / 1e6:,.0f} MB) into the cache, once")
        prepare(path, folder, settings, progress=progress, notice=notice)
    return _open_shards(folder, str(source), settings)


def find_data(
    source: str | Path,
    *,
    preferences: Preferences,
    progress: Progress = lambda total, done: None,
    notice: Notice = lambda text: None,
) -> Path:
    """The file or folder of a name or path; data set names take precedence (`./name` is always a path).

    Raises BadInput, NetworkError, DiskError.
    """
    if isinstance(source, str) and source.lower() in datasets.load():
        files = [file.file for file in datasets.find(source).files]
        if len(files) > 1:
            raise BadInput(
                f"the data set {source} has {len(files)} files ({', '.join(files)}), not one text; choose "
                "another data set, or give a path"
            )
        paths = datasets.fetch(source, settings=preferences, progress=progress, notice=notice)
        return paths[files[0]]
    path = Path(source).expanduser()
    if not str(source) or not path.exists():  # Path("") would be the current folder
        known = choices("data set", source, datasets.load())
        raise BadInput(f"{known}; or give the path of a file or folder ({display_path(path)} does not exist)")
    return path


def _open_shards(folder: Path, name: str, settings: TokenizeOptions) -> Corpus:
    manifest, codec, ids = read_shards(folder)
    if manifest.loss != settings.loss:
        raise BadInput(
            f"the shards in {display_path(folder)} were made with loss={manifest.loss}, not {settings.loss}; "
            f"set data.loss={manifest.loss}, or prepare them again with --loss {settings.loss}"
        )
    root = Path(manifest.root)
    if root.exists() and (changed := changed_sources(root, manifest.sources)):
        raise BadInput(
            f"{changed[0]} of {display_path(root)} changed after the shards in {display_path(folder)} were "
            f"made; run again: zeropoint data prepare {display_path(root)} --out {display_path(folder)}"
        )
    sha256 = _combined({name: item.sha256 for name, item in manifest.sources.items()})
    return Corpus(name, codec, ids["train"], ids["validation"], sha256, manifest.loss == "completion")


def _in_memory(path: Path, name: str, settings: TokenizeOptions, notice: Notice) -> Corpus:
    sources = fingerprints(path)
    scan = scan_corpus(path, settings, notice)
    codec = build_codec(scan, settings)
    parts = list(tokenize_corpus(scan, settings, codec))
    train, validation = (
        np.concatenate([p.train for p in parts]),
        np.concatenate([p.validation for p in parts]),
    )
    check_unchanged(path, sources)
    sha256 = _combined({name: item.sha256 for name, item in sources.items()})
    return Corpus(name, codec, train, validation, sha256, settings.loss == "completion")


def _combined(hashes: Mapping[str, str]) -> str:
    """The hash of the only file, or one hash over the names and hashes of all files."""
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    return combined_sha256(*(f"{sha256} {name}" for name, sha256 in sorted(hashes.items())))
