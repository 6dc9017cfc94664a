"""Read documents from .txt, .md, .jsonl, .json and .parquet files, or a folder of them.

A text file is one document, or several separated by `<|endoftext|>`, as in TinyStories; each line of JSONL,
item of a JSON list and row of Parquet is one document. Line ends become "\\n". Documents without a visible
character are skipped. Every error names the file and the line, item or row.
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
from zeropoint.errors import BadInput, choices, not_installed
from zeropoint.files.paths import display_path
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["SUFFIXES", "Document", "DocumentSource", "documents", "find_sources"]

_SEPARATOR = b"<|endoftext|>"
# Not white space, a control character (Unicode's Cc) or a common format character (Cf).
_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
_MAX_JSON_BYTES = 1 << 30  # a JSON list is read into memory
_PARQUET_ROWS = 1024  # per read


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """One file. name: its path relative to the root, with "/"; files are read in the order of names."""

    path: Path
    name: str


@dataclass(frozen=True, slots=True)
class Document:
    """A text, in two parts: `prompt`, "" for plain text, and `completion`, which follows it."""

    completion: str
    prompt: str = ""

    @property
    def text(self) -> str:
        """Prompt and completion."""
        return self.prompt + self.completion


def find_sources(root: Path) -> list[DocumentSource]:
    """The file, or the files of a folder and its subfolders, sorted by name.

    Skips hidden files and links to folders. Raises BadInput if there is nothing to read.
    """
    if root.is_file():
        if _reader_of(root.name) is None:
            raise BadInput(
                f"{display_path(root)} must end in {', '.join(SUFFIXES)} (text and JSON also in .gz)"
            )
        return [DocumentSource(root, root.name)]
    if not root.is_dir():
        raise BadInput(f"there is no file or folder {display_path(root)}; give the path of your texts")
    sources = []
    for folder, subfolders, names in os.walk(root, onerror=_raise_unreadable):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            path = Path(folder) / name
            if _reader_of(name) is not None and not name.startswith(".") and path.is_file():
                sources.append(DocumentSource(path, path.relative_to(root).as_posix()))
    if not sources:
        raise BadInput(
            f"the folder {display_path(root)} has no {', '.join(SUFFIXES)} files; choose another folder"
        )
    return sorted(sources, key=lambda source: source.name)


def documents(source: DocumentSource, field: str = "text") -> Iterator[Document]:
    """The documents of one file, in order. field: the field or column of JSON and Parquet that has the text.

    Raises BadInput naming the file and the line, item or row.
    """
    reader = _reader_of(source.name)
    if reader is None:
        raise BadInput(f"{display_path(source.path)} must end in {', '.join(SUFFIXES)}; choose another file")
    try:
        for raw in reader(source.path, field):
            document = Document(_normalize_newlines(raw.completion), _normalize_newlines(raw.prompt))
            if _VISIBLE.search(document.text):
                yield document
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"{display_path(source.path)} cannot be read ({reason}); check the file") from None


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(path: Path, field: str) -> Iterator[Document]:
    parts: list[str] = []
    has_separators, is_after_separator = False, False
    for number, line in enumerate(_lines(path), start=1):
        *complete, rest = line.split(_SEPARATOR)
        for piece in complete:
            yield Document("".join([*parts, _decode(piece, path, number)]).strip("\n"))
            parts, has_separators, is_after_separator = [], True, True
        if is_after_separator and not rest.strip():  # skip the rest of its line, and empty lines
            continue
        is_after_separator = False
        parts.append(_decode(rest, path, number))
    text = "".join(parts)
    yield Document(text.strip("\n") if has_separators else text)


def _read_jsonl(path: Path, field: str) -> Iterator[Document]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.isspace():
            where = f"{display_path(path)}, line {number}"
            yield _document(_parse_json(_decode(line, path, number), where), field, where)


def _read_json(path: Path, field: str) -> Iterator[Document]:
    with _opened(path) as file:
        content = file.read(_MAX_JSON_BYTES + 1)
    if len(content) > _MAX_JSON_BYTES:
        raise BadInput(f"{display_path(path)} is larger than 1 GiB; convert it to .jsonl")
    records = _parse_json(_decode(content, path, 1), display_path(path))
    if not isinstance(records, list):
        raise BadInput(
            f"{display_path(path)} must be a JSON list of objects with the text in `{field}`; convert it"
        )
    for number, record in enumerate(records, start=1):
        where = f"{display_path(path)}, item {number}"
        yield _document(record, field, where)


def _read_parquet(path: Path, field: str) -> Iterator[Document]:
    try:
        import pyarrow as arrow  # type: ignore[import-untyped]
        import pyarrow.parquet as parquet  # type: ignore[import-untyped]
    except ImportError:
        raise BadInput(not_installed(f"reading {display_path(path)}", "pyarrow")) from None
    try:
        with parquet.ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise BadInput(
                    f"{display_path(path)}: {choices('column', field, file.schema_arrow.names)}; give --field"
                )
            number = 0
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS, columns=[field]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield _document({field: value}, field, f"{display_path(path)}, row {number}")
    except arrow.ArrowException as error:
        raise BadInput(
            f"{display_path(path)} is not a valid Parquet file ({str(error).splitlines()[0][:200]}); check it"
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


def _decode(raw: bytes, path: Path, line: int) -> str:
    try:
        return raw.decode("utf-8-sig" if line == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{display_path(path)}, line {line + raw[: error.start].count(10)}: byte "
            f"0x{raw[error.start]:02X} is not"
            " UTF-8; save the file as UTF-8"
        ) from None


def _parse_json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: invalid JSON ({error or 'too many brackets'}); check the file") from None


def _document(record: object, field: str, where: str) -> Document:
    """The document of a record: its text, or an instruction as prompt and completion."""
    if not isinstance(record, dict):
        raise BadInput(f"{where}: expected an object with the text in `{field}`, not {type(record).__name__}")
    if field not in record and is_instruction(record):
        prompt, completion = (check_unicode(part, where) for part in prompt_and_completion(record, where))
        return Document(completion, prompt)
    if field not in record:
        raise BadInput(
            f"{where}: {choices('field', field, [str(key)[:40] for key in record][:20])}; give --field"
        )
    if not isinstance(record[field], str):
        raise BadInput(f"{where}: `{field}` must be text, not {type(record[field]).__name__}")
    return Document(check_unicode(record[field], f"{where}: `{field}`"))


def _raise_unreadable(error: OSError) -> None:
    raise BadInput(
        f"{display_path(Path(error.filename))} cannot be read ({error.strerror}); check its permissions"
    )
