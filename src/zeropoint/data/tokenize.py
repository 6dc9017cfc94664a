"""From files to ids: read once for what they hold, then tokenised, in several processes where it is much.

The work is cut by the text alone, and its results are taken in the order of the text. So the ids are the
same, bit for bit, whoever computed them.
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

_TASK = 1 << 19  # characters that one process is given at a time
_PIECE = 1 << 20  # a longer document is cut, where no word reaches over
_CUT = re.compile(r"(?<=\S) (?=\S)")
_AHEAD = 3  # tasks a process that may wait, so that reading runs ahead of tokenising, but not far


@dataclass(frozen=True, slots=True)
class TokenizeOptions:
    """How text becomes ids. tokenizer: "characters", "bpe" (n_vocab tokens), or the path of one.

    validation: the share that is held out. field: of JSON and Parquet, the one that holds the text.
    loss: the tokens that it covers, "all" or, for records with a prompt, only the "completion".
    """

    tokenizer: str = "characters"
    n_vocab: int = 512
    validation: float = 0.1
    field: str = "text"
    loss: LossTargets = "all"

    def __post_init__(self) -> None:
        if not 0 < self.validation < 1:
            raise BadInput(f"validation is {self.validation}; expected a share above 0 and below 1, as 0.1")

    @property
    def is_trained(self) -> bool:
        """Whether the tokenizer is made from the text."""
        return self.tokenizer in KINDS

    def dtype(self, codec: TextCodec) -> np.dtype[np.unsignedinteger]:
        """What an id is stored in."""
        return dtype_of(n_ids(codec.n_vocab, self.loss))


@dataclass(frozen=True)
class CorpusScan:
    """What the sources hold. below: the position (split.py) under which a document is held out."""

    root: Path
    sources: tuple[DocumentSource, ...]
    n_documents: int
    n_characters: int
    below: int

    def texts(self, settings: TokenizeOptions) -> Iterator[tuple[DocumentSource, int, Document]]:
        """(source, 0 to learn from or 1 to judge by, document), in order; one document is cut in two."""
        for source in self.sources:
            for document in documents(source, settings.field):
                if self.n_documents == 1:
                    sides = enumerate(split_text(document.text, settings.validation))
                    yield from ((source, side, Document(part)) for side, part in sides)
                elif _has_targets(document, source, settings):
                    yield source, int(hash_position(document.text) < self.below), document


def _has_targets(document: Document, source: DocumentSource, settings: TokenizeOptions) -> bool:
    """Whether anything of a document is asked for. Raises BadInput where that cannot be told."""
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
    """Read everything once. Raises BadInput naming the file and line of what cannot be taken.

    notice: is told of prompts without an answer, which are left out where answers alone are asked for.
    """
    sources = find_sources(root)
    n_documents = n_characters = highest = n_without_completion = 0
    lowest, is_one = 1 << 64, False
    for source in sources:
        for document in documents(source, settings.field):
            if not _has_targets(document, source, settings):
                n_without_completion += 1
                continue
            place = hash_position(document.text)
            lowest, highest = min(lowest, place), max(highest, place)
            n_documents += 1
            n_characters += len(document.text)
            is_one = n_documents == 1 and document.text.count(document.text[0]) == len(document.text)
    if not n_documents:
        what = "no prompt with an answer" if n_without_completion else "no text"
        raise BadInput(f"{display_path(root)} holds {what}; give files that have some")
    if n_without_completion:
        notice(f"{n_without_completion:,} prompts of {display_path(root)} have no answer and are left out")
    if is_one:
        raise BadInput(f"{display_path(root)} has one character and no other; give a text with more to learn")
    if n_documents == 1 and settings.loss == "completion":
        raise BadInput(
            f"{display_path(root)} holds one prompt with its answer, so none can be held out; give more"
        )
    if n_documents > 1 and lowest == highest:
        raise BadInput(
            f"the {n_documents} documents of {display_path(root)} are all equal, so none can be held out"
        )
    below = threshold(settings.validation, lowest, highest) if n_documents > 1 else 0
    return CorpusScan(root, tuple(sources), n_documents, n_characters, below)


def build_codec(found: CorpusScan, settings: TokenizeOptions) -> TextCodec:
    """The tokenizer that was asked for; pairs are learned from what is not held out. Raises BadInput."""
    if not settings.is_trained:
        return load_codec(Path(settings.tokenizer).expanduser())
    is_all = settings.tokenizer == "characters"  # which must be able to spell what it is judged by
    texts = (document.text for _, side, document in found.texts(settings) if is_all or side == 0)
    return train_codec(settings.tokenizer, texts, n_vocab=settings.n_vocab, has_end=found.n_documents > 1)


@dataclass(frozen=True)
class _Piece:
    source: str
    side: int
    text: str
    is_prompt: bool
    is_first: bool
    ends: bool


@dataclass(frozen=True)
class TokenizedPart:
    """The ids of a stretch of text: those to learn from and those held out; documents that begin in them."""

    train: NDArray[Any]
    held: NDArray[Any]
    n_train: int
    n_held: int
    n_characters: int


def tokenize_corpus(
    found: CorpusScan, settings: TokenizeOptions, codec: TextCodec, file: Path | None = None, workers: int = 1
) -> Iterator[TokenizedPart]:
    """The text as ids, part by part, in order.

    file: the tokenizer's, for the other processes; without it this one does all.
    Raises BadInput naming the file; MachineError if a process dies.
    """
    tasks = _tasks(found, settings)
    if file is not None and workers > 1:
        yield from _parallel(tasks, file, workers, settings)
    else:
        yield from (_encoded(codec, task, settings) for task in tasks)


def _tasks(found: CorpusScan, settings: TokenizeOptions) -> Iterator[list[_Piece]]:
    task: list[_Piece] = []
    n = 0
    for source, side, document in found.texts(settings):
        marks_prompts = settings.loss == "completion"
        parts = (
            [(document.prompt, True), (document.completion, False)]
            if marks_prompts
            else [(document.text, False)]
        )
        pieces = ((*piece, is_prompt) for text, is_prompt in parts for piece in _pieces(text))
        for piece, is_first, is_last, is_prompt in pieces:
            begins = is_first and is_prompt == marks_prompts
            ends = is_last and not is_prompt and found.n_documents > 1
            task.append(_Piece(source.name, side, piece, is_prompt, begins, ends))
            n += len(piece)
            if n >= _TASK:
                yield task
                task, n = [], 0
    if task:
        yield task


def _pieces(text: str) -> Iterator[tuple[str, bool, bool]]:
    """(part of a text, is the first, is the last): cut before a single space between words."""
    start = 0
    while True:
        place = _CUT.search(text, start + _PIECE) if len(text) - start > _PIECE else None
        end = place.start() if place else len(text)
        yield text[start:end], start == 0, place is None
        if place is None:
            return
        start = end


def _encoded(codec: TextCodec, task: list[_Piece], settings: TokenizeOptions) -> TokenizedPart:
    dtype = settings.dtype(codec)
    sides: tuple[list[NDArray[Any]], list[NDArray[Any]]] = ([], [])
    counts = [0, 0]
    for piece in task:
        try:
            ids = codec.array(piece.text, ends=piece.ends, is_continuation=not piece.is_first).astype(dtype)
        except BadInput as error:
            raise BadInput(f"{piece.source}: {error}") from None
        sides[piece.side].append(ids + dtype.type(codec.n_vocab) if piece.is_prompt else ids)
        counts[piece.side] += piece.is_first
    empty = np.empty(0, dtype)
    train, held = (np.concatenate([empty, *arrays]) for arrays in sides)
    return TokenizedPart(train, held, counts[0], counts[1], sum(len(piece.text) for piece in task))


@functools.cache
def _coding(file: str) -> TextCodec:
    """The tokenizer, read once in each process."""
    return load_codec(Path(file))


@contextlib.contextmanager
def _no_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back; what is started meanwhile never hears it, and leaves it to its parent."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _start() -> None:
    """A worker does not outlive its parent."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def _work(file: str, task: list[_Piece], settings: TokenizeOptions) -> TokenizedPart:
    return _encoded(_coding(file), task, settings)


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
            with _no_interrupt():  # the pool starts its processes as they are needed
                waiting.append(pool.submit(_work, str(file), task, settings))
            if len(waiting) >= workers * _AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise MachineError(
            "a process that tokenises has ended before its work (is memory short?); try fewer workers"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            pool.shutdown(cancel_futures=True)


def default_workers(n_characters: int) -> int:
    """As many processes as there are cores for much text; one where starting others takes longer."""
    return len(os.sched_getaffinity(0)) if n_characters > 8 * _TASK else 1
