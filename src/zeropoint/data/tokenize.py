"""Tokenize files: scan them once for counts and the split, then encode them, in several processes if large.

Tasks depend only on the text, and results are collected in the order of the text. So the ids are the same,
bit for bit, for any number of processes.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zeropoint.data.completion_loss import LossTargets, n_ids
from zeropoint.data.documents import Document, DocumentSource, documents, find_sources
from zeropoint.data.split import hash_position, split_text, threshold
from zeropoint.data.text_codec import KINDS, TextCodec, dtype_of, load_codec, train_codec
from zeropoint.errors import BadInput, MachineError
from zeropoint.files.paths import display_path

__all__ = [
    "CorpusScan",
    "TokenizeOptions",
    "TokenizedPart",
    "build_codec",
    "default_workers",
    "scan_corpus",
    "tokenize_corpus",
]

_TASK_CHARACTERS = 1 << 19  # per task of a process
_PIECE_CHARACTERS = 1 << 20  # a longer document is cut between two words
_CUT_POINT = re.compile(r"(?<=\S) (?=\S)")
_MAX_QUEUED = 3  # tasks per process, so that reading runs ahead of tokenization but not far


@dataclass(frozen=True, slots=True)
class TokenizeOptions:
    """How to tokenize text. tokenizer: "characters", "words", "bpe" (of n_vocab tokens) or a path.

    validation: the share to hold out. field: the field or column of JSON and Parquet that has the text.
    loss: the tokens that it covers, "all" or, for records with a prompt, only the "completion".
    """

    tokenizer: str = "characters"
    n_vocab: int = 512
    validation: float = 0.1
    field: str = "text"
    loss: LossTargets = "all"

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise BadInput(f"validation is {self.validation}; expected a share above 0 and below 1, like 0.1")

    @property
    def is_trained(self) -> bool:
        """Whether the tokenizer is trained on the text."""
        return self.tokenizer in KINDS

    def dtype(self, codec: TextCodec) -> np.dtype[np.unsignedinteger]:
        """The type that stores an id, including the mark of prompts."""
        return dtype_of(n_ids(codec.n_vocab, self.loss))


@dataclass(frozen=True)
class CorpusScan:
    """The counts of a corpus. threshold: the hash position (split.py) below which a document is held out."""

    root: Path
    sources: tuple[DocumentSource, ...]
    n_documents: int
    n_characters: int
    threshold: int

    def texts(self, settings: TokenizeOptions) -> Iterator[tuple[DocumentSource, int, Document]]:
        """(source, 0 for training or 1 for validation, document), in order; cuts a single document."""
        for source in self.sources:
            for document in documents(source, settings.field):
                if self.n_documents == 1:
                    parts = enumerate(split_text(document.text, settings.validation))
                    yield from ((source, split, Document(part)) for split, part in parts)
                elif _has_targets(document, source, settings):
                    yield source, int(hash_position(document.text) < self.threshold), document


def _has_targets(document: Document, source: DocumentSource, settings: TokenizeOptions) -> bool:
    """Whether the loss covers any token of a document. Raises BadInput for text without a prompt."""
    if settings.loss == "all":
        return True
    if not document.prompt:
        raise BadInput(
            f"{display_path(source.path)} holds text that is no prompt with its answer, and `loss` is "
            "answer; give "
            "records with `instruction` and `output`, or loss=all"
        )
    return bool(document.completion) and not document.completion.isspace()


def scan_corpus(
    root: Path, settings: TokenizeOptions, notice: Callable[[str], None] = lambda text: None
) -> CorpusScan:
    """Read all documents once. Raises BadInput naming the file and line of invalid input.

    notice: reports how many prompts without a completion are skipped.
    """
    sources = find_sources(root)
    n_documents = n_characters = highest = n_without_completion = 0
    lowest, is_one_character = 1 << 64, False
    for source in sources:
        for document in documents(source, settings.field):
            if not _has_targets(document, source, settings):
                n_without_completion += 1
                continue
            position = hash_position(document.text)
            lowest, highest = min(lowest, position), max(highest, position)
            n_documents += 1
            n_characters += len(document.text)
            text = document.text
            is_one_character = n_documents == 1 and text.count(text[0]) == len(text)
    if not n_documents:
        missing = "no prompt with a completion" if n_without_completion else "no text"
        raise BadInput(f"{display_path(root)} has {missing}; give files that have some")
    if n_without_completion:
        notice(f"skipping {n_without_completion:,} prompts of {display_path(root)} that have no completion")
    if is_one_character:
        raise BadInput(f"{display_path(root)} repeats a single character; give a text with more to learn")
    if n_documents == 1 and settings.loss == "completion":
        raise BadInput(
            f"{display_path(root)} has only one prompt with a completion, so none can be held out; give more"
        )
    if n_documents > 1 and lowest == highest:
        raise BadInput(
            f"the {n_documents} documents of {display_path(root)} are equal, so none can be held out; "
            "give different ones"
        )
    held_out = threshold(settings.validation, lowest, highest) if n_documents > 1 else 0
    return CorpusScan(root, tuple(sources), n_documents, n_characters, held_out)


def build_codec(scan: CorpusScan, settings: TokenizeOptions) -> TextCodec:
    """Load the tokenizer, or train it on the training part. Raises BadInput."""
    if not settings.is_trained:
        return load_codec(Path(settings.tokenizer).expanduser())
    uses_all = settings.tokenizer == "characters"  # it must be able to encode the validation part too
    texts = (document.text for _, split, document in scan.texts(settings) if uses_all or split == 0)
    return train_codec(settings.tokenizer, texts, n_vocab=settings.n_vocab, has_end=scan.n_documents > 1)


@dataclass(frozen=True)
class _Piece:
    source: str
    split: int
    text: str
    is_prompt: bool
    is_first: bool
    has_end: bool


@dataclass(frozen=True)
class TokenizedPart:
    """The ids of one task, and the number of documents that begin in each split."""

    train: NDArray[Any]
    validation: NDArray[Any]
    n_train: int
    n_validation: int
    n_characters: int


def tokenize_corpus(
    scan: CorpusScan, settings: TokenizeOptions, codec: TextCodec, file: Path | None = None, workers: int = 1
) -> Iterator[TokenizedPart]:
    """The ids of a corpus, task by task, in order.

    file: the tokenizer's file, which other processes load; without it, this process does all the work.
    Raises BadInput naming the file; MachineError if a process dies.
    """
    tasks = _tasks(scan, settings)
    if file is not None and workers > 1:
        yield from _parallel(tasks, file, workers, settings)
    else:
        yield from (_encode(codec, task, settings) for task in tasks)


def _tasks(scan: CorpusScan, settings: TokenizeOptions) -> Iterator[list[_Piece]]:
    task: list[_Piece] = []
    n = 0
    for source, split, document in scan.texts(settings):
        marks_prompts = settings.loss == "completion"
        parts = (
            [(document.prompt, True), (document.completion, False)]
            if marks_prompts
            else [(document.text, False)]
        )
        pieces = ((*piece, is_prompt) for text, is_prompt in parts for piece in _pieces(text))
        for piece, is_first, is_last, is_prompt in pieces:
            begins = is_first and is_prompt == marks_prompts
            ends = is_last and not is_prompt and scan.n_documents > 1
            task.append(_Piece(source.name, split, piece, is_prompt, begins, ends))
            n += len(piece)
            if n >= _TASK_CHARACTERS:
                yield task
                task, n = [], 0
    if task:
        yield task


def _pieces(text: str) -> Iterator[tuple[str, bool, bool]]:
    """(piece of a text, is it the first, is it the last): cut before a single space between words."""
    start = 0
    while True:
        is_long = len(text) - start > _PIECE_CHARACTERS
        match = _CUT_POINT.search(text, start + _PIECE_CHARACTERS) if is_long else None
        end = match.start() if match else len(text)
        yield text[start:end], start == 0, match is None
        if match is None:
            return
        start = end


def _encode(codec: TextCodec, task: list[_Piece], settings: TokenizeOptions) -> TokenizedPart:
    dtype = settings.dtype(codec)
    splits: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    counts = [0, 0]
    for piece in task:
        try:
            ids = codec.array(piece.text, has_end=piece.has_end, is_continuation=not piece.is_first)
        except BadInput as error:
            raise BadInput(f"{piece.source}: {error}") from None
        ids = ids.astype(dtype)
        splits[piece.split].append(ids + dtype.type(codec.n_vocab) if piece.is_prompt else ids)
        counts[piece.split] += piece.is_first
    empty = np.empty(0, dtype)
    train, validation = (np.concatenate([empty, *arrays]) for arrays in splits)
    return TokenizedPart(train, validation, counts[0], counts[1], sum(len(piece.text) for piece in task))


@functools.cache
def _load_codec(file: str) -> TextCodec:
    """The tokenizer, loaded once per process."""
    return load_codec(Path(file))


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Block SIGINT: processes started meanwhile inherit the mask and leave Ctrl-C to their parent."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _start() -> None:
    """Initialize a worker: end it when its parent ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(file: str, task: list[_Piece], settings: TokenizeOptions) -> TokenizedPart:
    return _encode(_load_codec(file), task, settings)


def _parallel(
    tasks: Iterator[list[_Piece]], file: Path, workers: int, settings: TokenizeOptions
) -> Iterator[TokenizedPart]:
    context = multiprocessing.get_context(
        "spawn"
    )  # a fork would copy the threads of others, which may hold locks
    pool = ProcessPoolExecutor(workers, context, _start)
    waiting: collections.deque[Future[TokenizedPart]] = collections.deque()
    try:
        for task in tasks:
            with _no_interrupt():  # the pool starts its processes on demand
                waiting.append(pool.submit(_work, str(file), task, settings))
            if len(waiting) >= workers * _MAX_QUEUED:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise MachineError("a tokenization process died (out of memory?); try fewer workers") from None
    finally:
        with contextlib.suppress(OSError):
            pool.shutdown(cancel_futures=True)


def default_workers(n_characters: int) -> int:
    """One process per core for large corpora; 1 if starting more would take longer."""
    return len(os.sched_getaffinity(0)) if n_characters > 8 * _TASK_CHARACTERS else 1
