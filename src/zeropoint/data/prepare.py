"""Tokenize texts into a folder of shards, atomically; do nothing if the folder is up to date."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from zeropoint.data.fingerprints import changed_sources, check_unchanged, fingerprints
from zeropoint.data.shards import MANIFEST, SPLITS, Manifest, ShardWriter, Split, read_shards
from zeropoint.data.text_codec import TextCodec, load_codec
from zeropoint.data.tokenize import (
    CorpusScan,
    TokenizeOptions,
    build_codec,
    default_workers,
    scan_corpus,
    tokenize_corpus,
)
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import atomic_folder, write_file
from zeropoint.files.locks import sole_writer
from zeropoint.files.paths import display_path

__all__ = ["SHARD_TOKENS", "is_prepared", "prepare"]

SHARD_TOKENS = 1 << 26  # 128 MiB of uint16
Progress = Callable[[int | None, int], None]
Notice = Callable[[str], None]


def prepare(
    root: Path,
    out: Path,
    settings: TokenizeOptions | None = None,
    *,
    workers: int | None = None,
    shard_tokens: int = SHARD_TOKENS,
    progress: Progress = lambda total, done: None,
    notice: Notice = lambda text: None,
) -> Manifest:
    """Tokenize a file or folder into a folder of shards and return its manifest.

    Leaves `out` unchanged if it was made from the same files with the same settings; otherwise replaces it,
    but only when the new shards are complete. workers: processes; by default one per core for large corpora.
    progress: (characters in total, characters done). Raises BadInput naming the file, DiskError.
    """
    with sole_writer(out):
        return _prepare(root, out, settings or TokenizeOptions(), workers, shard_tokens, progress, notice)


def _prepare(
    root: Path,
    out: Path,
    settings: TokenizeOptions,
    workers: int | None,
    shard_tokens: int,
    progress: Progress,
    notice: Notice,
) -> Manifest:
    if workers is not None and workers < 1:
        raise BadInput(f"workers is {workers}; expected 1 or more")
    if out.resolve().is_relative_to(root.resolve()):
        raise BadInput(
            f"{display_path(out)} is inside the source {display_path(root)}; choose a folder outside"
        )
    recorded = _recorded_settings(settings, shard_tokens)
    if (old := _existing(out)) is not None:
        if dict(old.settings) == recorded and not changed_sources(root, old.sources):
            notice(f"{display_path(out)} is up to date")
            return old
        notice(f"rebuilding {display_path(out)}: its sources or settings have changed")
    sources = fingerprints(root)
    scan = scan_corpus(root, settings, notice)
    codec = build_codec(scan, settings)
    workers = workers or default_workers(scan.n_characters)
    with atomic_folder(out, need_bytes=scan.n_characters * settings.dtype(codec).itemsize) as folder:
        train, validation = _write(scan, settings, codec, folder, workers, shard_tokens, progress)
        check_unchanged(root, sources)
        if min(train.n_tokens, validation.n_tokens) < 2:
            raise BadInput(
                f"{display_path(root)} has {train.n_tokens} tokens for training and "
                f"{validation.n_tokens} for validation; each needs 2 or more, so give more text"
            )
        manifest = Manifest(
            dtype=settings.dtype(codec).str,
            n_vocab=codec.n_vocab,
            tokenizer_sha256=codec.sha256,
            settings=recorded,
            root=str(root.absolute()),
            sources=sources,
            train=train,
            validation=validation,
        )
        manifest.save(folder)
    return manifest


def is_prepared(path: Path) -> bool:
    """Whether a folder has shards."""
    return (path / MANIFEST).is_file()


def _recorded_settings(settings: TokenizeOptions, shard_tokens: int) -> dict[str, Any]:
    """The settings in a manifest; a tokenizer file is identified by its SHA-256."""
    recorded = dataclasses.asdict(settings) | {"shard_tokens": shard_tokens}
    if not settings.is_trained:
        recorded["tokenizer"] = load_codec(Path(settings.tokenizer).expanduser()).sha256
    return recorded


def _existing(out: Path) -> Manifest | None:
    """The manifest of existing shards at `out`. Raises BadInput if something else is there."""
    if is_prepared(out):
        with contextlib.suppress(BadInput):  # damaged shards may be replaced too
            return read_shards(out)[0]
        return None
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput(f"{display_path(out)} exists and has no shards; choose another folder")
    return None


def _write(
    scan: CorpusScan,
    settings: TokenizeOptions,
    codec: TextCodec,
    folder: Path,
    workers: int,
    shard_tokens: int,
    progress: Progress,
) -> tuple[Split, Split]:
    """Write the tokenizer and the shards of both splits."""
    file = folder / "tokenizer.json"
    with write_file(file) as opened:
        opened.write(codec.content)
    dtype = settings.dtype(codec)
    train, validation = (ShardWriter(folder, name, dtype, shard_tokens) for name in SPLITS)
    done = 0
    for part in tokenize_corpus(scan, settings, codec, file, workers):
        train.add(part.train, part.n_train)
        validation.add(part.validation, part.n_validation)
        done += part.n_characters
        progress(scan.n_characters, done)
    return train.finish(), validation.finish()
