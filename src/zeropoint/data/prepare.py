"""Texts into a folder of shards, whole or not at all; what is there and still right is left as it is."""

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
    """Tokenise a file or folder into the folder `out`; returns its manifest.

    An `out` made of the same files in the same way is left as it is; another is made anew. workers:
    processes; by default as many as cores, if it is much. progress: (all characters, those done).
    Raises BadInput naming the file, DiskError; an old `out` stays until the new one is whole.
    """
    settings = settings or TokenizeOptions()
    if workers is not None and workers < 1:
        raise BadInput(f"the number of workers is {workers}; expected 1 or more")
    if out.resolve().is_relative_to(root.resolve()):
        raise BadInput(
            f"{display_path(out)} lies in {display_path(root)}, which is read; choose a folder outside"
        )
    told = _told(settings, shard_tokens)
    if (old := _old(out)) is not None:
        if dict(old.settings) == told and not changed_sources(root, old.sources):
            notice(f"{display_path(out)} holds this already and is left as it is")
            return old
        notice(f"{display_path(out)} was made of other files or in another way, and is made anew")
    sums = fingerprints(root)
    found = scan_corpus(root, settings, notice)
    codec = build_codec(found, settings)
    workers = workers or default_workers(found.n_characters)
    with atomic_folder(out, need_bytes=found.n_characters * settings.dtype(codec).itemsize) as folder:
        train, held = _write(found, settings, codec, folder, workers, shard_tokens, progress)
        check_unchanged(root, sums)
        if min(train.n_tokens, held.n_tokens) < 2:
            raise BadInput(
                f"{display_path(root)} comes to {train.n_tokens} tokens to learn from and {held.n_tokens} "
                "held out; "
                "each needs two, one to read and one to ask for, so give more text"
            )
        manifest = Manifest(
            dtype=settings.dtype(codec).str,
            n_vocab=codec.n_vocab,
            tokenizer_sha256=codec.sha256,
            settings=told,
            root=str(root.absolute()),
            sources=sums,
            train=train,
            validation=held,
        )
        manifest.save(folder)
    return manifest


def is_prepared(path: Path) -> bool:
    """Whether a folder is one of shards."""
    return (path / MANIFEST).is_file()


def _told(settings: TokenizeOptions, shard_tokens: int) -> dict[str, Any]:
    """The settings as a manifest has them; a tokenizer of one's own by what is in it."""
    told = dataclasses.asdict(settings) | {"shard_tokens": shard_tokens}
    if not settings.is_trained:
        told["tokenizer"] = load_codec(Path(settings.tokenizer).expanduser()).sha256
    return told


def _old(out: Path) -> Manifest | None:
    """What is at `out`, if it is ours to replace. Raises BadInput if it is something else."""
    if is_prepared(out):
        with contextlib.suppress(BadInput):  # a damaged one is ours too
            return read_shards(out)[0]
        return None
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise BadInput(f"{display_path(out)} is there already and holds no shards; choose another folder")
    return None


def _write(
    found: CorpusScan,
    settings: TokenizeOptions,
    codec: TextCodec,
    folder: Path,
    workers: int,
    shard_tokens: int,
    progress: Progress,
) -> tuple[Split, Split]:
    """The tokenizer and the shards of both sides."""
    file = folder / "tokenizer.json"
    with write_file(file) as opened:
        opened.write(codec.content)
    dtype = settings.dtype(codec)
    train, held = (ShardWriter(folder, name, dtype, shard_tokens) for name in SPLITS)
    done = 0
    for part in tokenize_corpus(found, settings, codec, file, workers):
        train.add(part.train, part.n_train)
        held.add(part.held, part.n_held)
        done += part.n_characters
        progress(found.n_characters, done)
    return train.side(), held.side()
