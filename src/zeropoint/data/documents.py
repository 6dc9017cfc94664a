"""Text of one's own as documents: a file or a folder of .txt, .md, .jsonl, .json and .parquet.

A text file is one document, or several between `<|endoftext|>` marks, as collections of stories are
published; a line of JSONL, an item of a JSON list and a row of Parquet are one each. Line ends become "\\n".
A document in which nothing can be seen, white space and control characters alone, is none. Every error names
the file, and the line or row.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from zeropoint.data.instructions import is_instruction, prompt_and_completion
from zeropoint.errors import BadInput, choices
from zeropoint.files.paths import display_path
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["SUFFIXES", "Document", "DocumentSource", "documents", "find_sources"]

_MARK = b"<|endoftext|>"
# What is no white space, no control and no format character (Unicode's Cc and the usual ones of Cf).
_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_MAX_JSON = 1 << 30  # bytes of a JSON list, which is read whole
_ROWS = 1024  # of Parquet at a time


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """One file. name: its path below what was given, with "/", by which files are ordered."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text. prompt: what stands before it and is given where it is to be written, "" for most texts."""

    completion: str
    prompt: str = ""

    @property
    def text(self) -> str:
        """All of it."""
        return self.prompt + self.completion


def find_sources(root: Path) -> list[DocumentSource]:
    """The files of a folder and all below it, by name, or the one file.

    Hidden files and links to folders are left out. Raises BadInput if there is nothing to read.
    """
    if root.is_file():
        if _reader_of(root.name) is None:
            raise BadInput(
                f"{display_path(root)} must be a file of {', '.join(SUFFIXES)} (with .gz, if it is text)"
            )
        return [DocumentSource(root, root.name)]
    if not root.is_dir():
        raise BadInput(f"there is no file or folder {display_path(root)}; give the path of your texts")
    found = []
    for folder, below, names in os.walk(root, onerror=_refuse):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            if _reader_of(name) is not None and not name.startswith(".") and path.is_file():
                found.append(DocumentSource(path, path.relative_to(root).as_posix()))
    if not found:
        raise BadInput(
            f"the folder {display_path(root)} has no file of {', '.join(SUFFIXES)}; give one that has"
        )
    return sorted(found, key=lambda source: source.name)


def documents(source: DocumentSource, field: str = "text") -> Iterator[Document]:
    """The documents of one file, in order. field: of JSON and Parquet, the one that holds the text.

    Raises BadInput naming the file and the line or row.
    """
    reader = _reader_of(source.name)
    if reader is None:
        raise BadInput(f"{display_path(source.path)} must be a file of {', '.join(SUFFIXES)}")
    try:
        for found in reader(source.path, field):
            document = Document(_with_plain_ends(found.completion), _with_plain_ends(found.prompt))
            if _VISIBLE.search(document.text):
                yield document
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"{display_path(source.path)} cannot be read ({why}); check the file") from None


def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(path: Path, field: str) -> Iterator[Document]:
    parts: list[str] = []
    has_marks, is_fresh = False, False
    for number, line in enumerate(_lines(path), start=1):
        *whole, rest = line.split(_MARK)
        for piece in whole:
            yield Document("".join([*parts, _decoded(piece, path, number)]).strip("\n"))
            parts, has_marks, is_fresh = [], True, True
        if is_fresh and not rest.strip():  # after a mark, the line's end and empty lines belong to the mark
            continue
        is_fresh = False
        parts.append(_decoded(rest, path, number))
    text = "".join(parts)
    yield Document(text.strip("\n") if has_marks else text)


def _read_jsonl(path: Path, field: str) -> Iterator[Document]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.isspace():
            where = f"{display_path(path)}, line {number}"
            yield _document(_json(_decoded(line, path, number), where), field, where)


def _read_json(path: Path, field: str) -> Iterator[Document]:
    with _opened(path) as file:
        content = file.read(_MAX_JSON + 1)
    if len(content) > _MAX_JSON:
        raise BadInput(f"{display_path(path)} is too large for one JSON list (1 GiB); write it as .jsonl")
    records = _json(_decoded(content, path, 1), display_path(path))
    if not isinstance(records, list):
        raise BadInput(
            f"{display_path(path)} must be a JSON list of objects, each with the text in `{field}`"
        )
    for number, record in enumerate(records, start=1):
        where = f"{display_path(path)}, item {number}"
        yield _document(record, field, where)


def _read_parquet(path: Path, field: str) -> Iterator[Document]:
    try:
        import pyarrow as arrow  # type: ignore[import-untyped]
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError:
        raise BadInput(
            f"{display_path(path)} needs pyarrow to be read; install it with: pip install 'zeropoint[train]'"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise BadInput(
                    f"{display_path(path)}: {choices('column', field, file.schema_arrow.names)}; give --field"
                )
            number = 0
            for batch in file.iter_batches(batch_size=_ROWS, columns=[field]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield _document({field: value}, field, f"{display_path(path)}, row {number}")
    except arrow.ArrowException as error:
        raise BadInput(
            f"{display_path(path)} is no sound Parquet file: {str(error).splitlines()[0][:200]}"
        ) from None


_READERS: dict[str, Callable[[Path, str], Iterator[Document]]] = {
    ".txt": _read_text,
    ".md": _read_text,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_parquet,
}
SUFFIXES = tuple(_READERS)


def _reader_of(name: str) -> Callable[[Path, str], Iterator[Document]] | None:
    plain = name.lower().removesuffix(".gz")
    reader = _READERS.get(os.path.splitext(plain)[1])
    return None if reader is _read_parquet and plain != name.lower() else reader


def _opened(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _lines(path: Path) -> Iterator[bytes]:
    with _opened(path) as file:
        yield from file


def _decoded(raw: bytes, path: Path, line: int) -> str:
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{display_path(path)}, line {line + raw[: error.start].count(10)}: byte "
            f"0x{raw[error.start]:02X} is not"
            " UTF-8; save the file as UTF-8"
        ) from None


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: no JSON: {error or 'too many brackets'}") from None


def _document(record: object, field: str, where: str) -> Document:
    """The text of a record, or an instruction with its answer."""
    if not isinstance(record, dict):
        raise BadInput(
            f"{where}: an object with the text in `{field}` is needed, not {type(record).__name__}"
        )
    if field not in record and is_instruction(record):
        prompt, completion = (check_unicode(part, where) for part in prompt_and_completion(record, where))
        return Document(completion, prompt)
    if field not in record:
        raise BadInput(
            f"{where}: {choices('field', field, [str(key)[:40] for key in record][:20])}; give --field"
        )
    if not isinstance(record[field], str):
        raise BadInput(f"{where}: `{field}` must be a text, not {type(record[field]).__name__}")
    return Document(check_unicode(record[field], f"{where}: `{field}`"))


def _refuse(error: OSError) -> None:
    raise BadInput(
        f"{display_path(Path(error.filename))} cannot be read ({error.strerror}); check its permissions"
    )
