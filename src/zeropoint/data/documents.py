"""Read documents from .txt, .md, .jsonl, .json and .parquet files, or a folder of them.

A text file is one document, or several separated by `<|endoftext|>`, as in TinyStories; each line of JSONL,
item of a JSON list and row of Parquet is one document. Line ends become "\\n". Documents without a visible
character are skipped. Every error names the file and the line, item or row.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from zeropoint.data.instructions import is_instruction, prompt_and_completion
from zeropoint.errors import BadInput, choices, not_installed
from zeropoint.files.paths import display_path
from zeropoint.files.regular_file import open_regular
from zeropoint.tokenizers.core.sanitize import check_unicode

__all__ = ["SUFFIXES", "Document", "DocumentSource", "documents", "find_sources"]

_SEPARATOR = b"<|endoftext|>"
# Not white space, a control character (Unicode's Cc) or a common format character (Cf).
_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]")
# Compression makes any amount of text out of a small file, so what must be in memory at once is bounded.
_MAX_DOCUMENT_BYTES = 1 << 30  # of a document, line or JSON list
_MAX_UNPACKED_BYTES = 256 << 20  # of one in a compressed file
_MAX_COLUMN_BYTES = 1 << 30  # of the column in a row group of Parquet, uncompressed
_BATCH_BYTES = 256 << 20  # of Parquet, if every value were as large as its row group
_BATCH_ROWS = 1024
_MAX_GROWTH = 2000  # text per byte of a file; deflate reaches 1032
_MIN_GROWTH_BYTES = 64 << 20  # below this, any growth is accepted


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
        problem = "is not a regular file or folder" if root.exists() else "does not exist"
        raise BadInput(f"{display_path(root)} {problem}; give the path of your texts")
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
        n_left = _MIN_GROWTH_BYTES + _MAX_GROWTH * source.path.stat().st_size
        for raw in reader(source.path, field):
            n_left -= len(raw.completion) + len(raw.prompt)
            if n_left < 0:
                raise BadInput(
                    f"{display_path(source.path)} unpacks to more than {_MAX_GROWTH} times its size; it is "
                    "damaged or made to fill memory, so use another file"
                )
            document = Document(_normalize_newlines(raw.completion), _normalize_newlines(raw.prompt))
            if _VISIBLE.search(document.text):
                yield document
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(f"{display_path(source.path)} cannot be read ({reason}); check the file") from None


def _normalize_newlines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_text(path: Path, field: str) -> Iterator[Document]:
    begun = io.StringIO()  # the document so far; lines in a list would take many times their length
    n_bytes, max_bytes = 0, _max_bytes(path)
    has_separators, is_after_separator = False, False
    for number, line in enumerate(_lines(path), start=1):
        *complete, rest = line.split(_SEPARATOR)
        for piece in complete:
            yield Document((begun.getvalue() + _decode(piece, path, number)).strip("\n"))
            begun, n_bytes = io.StringIO(), 0
            has_separators, is_after_separator = True, True
        if is_after_separator and not rest.strip():  # skip the rest of its line, and empty lines
            continue
        is_after_separator = False
        n_bytes += len(rest)
        if n_bytes > max_bytes:
            raise BadInput(
                f"{display_path(path)}, line {number}: a document has more than {max_bytes >> 20} MiB; "
                f"separate documents by {_SEPARATOR.decode()}, or split the file"
            )
        begun.write(_decode(rest, path, number))
    text = begun.getvalue()
    yield Document(text.strip("\n") if has_separators else text)


def _read_jsonl(path: Path, field: str) -> Iterator[Document]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.isspace():
            where = f"{display_path(path)}, line {number}"
            yield _document(_parse_json(_decode(line, path, number), where), field, where)


def _read_json(path: Path, field: str) -> Iterator[Document]:
    max_bytes = _max_bytes(path)
    with _opened(path) as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise BadInput(
            f"{display_path(path)} has more than {max_bytes >> 20} MiB of JSON; convert it to .jsonl"
        )
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
    open_regular(path).close()  # pyarrow would wait for a FIFO
    try:
        with parquet.ParquetFile(path) as file:
            if field not in file.schema_arrow.names:
                raise BadInput(
                    f"{display_path(path)}: {choices('column', field, file.schema_arrow.names)}; give --field"
                )
            number = 0
            for group in range(file.num_row_groups):
                n_rows = _batch_rows(file.metadata.row_group(group), group, field, path)
                for batch in file.iter_batches(n_rows, row_groups=[group], columns=[field]):
                    for value in batch.column(0).to_pylist():
                        number += 1
                        yield _document({field: value}, field, f"{display_path(path)}, row {number}")
    except arrow.ArrowException as error:
        raise BadInput(
            f"{display_path(path)} is not a valid Parquet file ({str(error).splitlines()[0][:200]}); check it"
        ) from None


def _batch_rows(metadata: Any, group: int, field: str, path: Path) -> int:
    """The rows of a row group to read at once: a dictionary stores a value once for any number of rows."""
    columns = [metadata.column(index) for index in range(metadata.num_columns)]
    n_bytes: int = sum(c.total_uncompressed_size for c in columns if c.path_in_schema.split(".")[0] == field)
    if not 0 <= n_bytes <= _MAX_COLUMN_BYTES:
        raise BadInput(
            f"{display_path(path)}: row group {group} has {n_bytes:,} bytes in `{field}`; write it "
            f"with at most {_MAX_COLUMN_BYTES >> 20} MiB per row group"
        )
    return max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(n_bytes, 1)))


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


def _is_compressed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def _max_bytes(path: Path) -> int:
    return _MAX_UNPACKED_BYTES if _is_compressed(path) else _MAX_DOCUMENT_BYTES


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    with open_regular(path) as file:
        if not _is_compressed(path):
            yield file
            return
        with gzip.open(file) as unpacked:
            yield cast(IO[bytes], unpacked)


def _lines(path: Path) -> Iterator[bytes]:
    max_bytes = _max_bytes(path)
    with _opened(path) as file:
        for number in itertools.count(1):
            line = file.readline(max_bytes + 1)
            if not line:
                return
            if len(line) > max_bytes:
                raise BadInput(
                    f"{display_path(path)}, line {number} has more than {max_bytes >> 20} MiB; break it into "
                    "several lines"
                )
            yield line


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
    except RecursionError:
        raise BadInput(f"{where}: invalid JSON (it is nested too deeply); check the file") from None
    except ValueError as error:
        raise BadInput(f"{where}: invalid JSON ({error}); check the file") from None


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
