"""Write the seed corpus of fuzz_gguf: small valid GGUF files and every single-field mutation of them.

Deterministic, standard library only: `python seeds.py FOLDER`. Tests import it to replay the same files.
Mutations: every integer becomes 0, 1, -1, limit +- 1, 2^31, 2^32, 2^63 and 2^64-1; types are replaced, fields
dropped or duplicated, and the file is truncated at and inside every field.
"""

from __future__ import annotations

import hashlib
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
CODES = {
    U8: "B",
    I8: "b",
    U16: "H",
    I16: "h",
    U32: "I",
    I32: "i",
    F32: "f",
    BOOL: "B",
    U64: "Q",
    I64: "q",
    F64: "d",
}
BLOCKS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 30: (1, 2)}


@dataclass(frozen=True)
class Field:
    """One field of a file: its bytes and its kind, which selects the mutations."""

    data: bytes
    kind: str = "int"


def number(value: float, code: str) -> Field:
    return Field(struct.pack("<" + code, value))


def text(value: bytes) -> list[Field]:
    return [number(len(value), "Q"), Field(value, "text")]


def entry(key: bytes, kind: int, *values: Field) -> list[Field]:
    return [*text(key), Field(struct.pack("<I", kind), "type"), *values]


def scalar(key: bytes, kind: int, value: float) -> list[Field]:
    return entry(key, kind, number(value, CODES[kind]))


def array(key: bytes, kind: int, items: list[object]) -> list[Field]:
    head = [Field(struct.pack("<I", kind), "type"), number(len(items), "Q")]
    if kind == TEXT:
        body = [field for item in items for field in text(item)]  # type: ignore[arg-type]
    else:
        body = [Field(struct.pack(f"<{len(items)}{CODES[kind]}", *items), "items")]
    return entry(key, ARRAY, *head, *body)


def tensor(name: bytes, dims: list[int], kind: int, offset: int) -> list[Field]:
    """The fields of a tensor table entry. `dims` are in file order, the contiguous axis first."""
    table = [*text(name), number(len(dims), "I"), *(number(dim, "Q") for dim in dims)]
    return [*table, Field(struct.pack("<I", kind), "type"), number(offset, "Q")]


def n_bytes(dims: list[int], kind: int) -> int:
    n = 1
    for dim in dims:
        n *= dim
    weights, size = BLOCKS[kind]
    return n // weights * size


def sound(
    entries: list[list[Field]],
    shapes: list[tuple[bytes, list[int], int]],
    *,
    version: int = 3,
    alignment: int = 32,
) -> list[Field]:
    """The fields of a valid file. Tensors are contiguous, each padded to the alignment."""
    tensors, offset = [], 0
    for name, dims, kind in shapes:
        tensors.append(tensor(name, dims, kind, offset))
        offset += -(-n_bytes(dims, kind) // alignment) * alignment
    head = [
        Field(b"GGUF", "magic"),
        number(version, "I"),
        number(len(tensors), "Q"),
        number(len(entries), "Q"),
    ]
    body = [field for part in (*entries, *tensors) for field in part]
    size = sum(len(field.data) for field in head + body)
    return [
        *head,
        *body,
        Field(bytes(-size % alignment), "pad"),
        Field(bytes(i % 7 for i in range(offset)), "data"),
    ]


def models() -> dict[str, list[Field]]:
    """Valid files that together cover every value type, tensor format and layout."""
    scalars = [scalar(b"a.%d" % kind, kind, 1) for kind in CODES]
    arrays = [array(b"list.%d" % kind, kind, [1, 0, 1]) for kind in CODES]
    words = [array(b"tokenizer.ggml.tokens", TEXT, [b"<s>", "\u0120a".encode(), b""])]
    name = [entry(b"general.architecture", TEXT, *text(b"llama"))]
    all_formats = [(b"w.%d" % kind, [32, 2], kind) for kind in BLOCKS]
    dims = [(b"d%d" % n, [32, 1, 2, 1][:n], 0) for n in range(1, 5)]
    aligned = [scalar(b"general.alignment", U32, 64)]
    split = [
        scalar(b"split.no", U16, 0),
        scalar(b"split.count", U16, 1),
        scalar(b"split.tensors.count", I32, 1),
    ]
    return {
        "empty": sound([], []),
        "scalars": sound(scalars, []),
        "arrays": sound(arrays + words, []),
        "formats": sound(name, all_formats),
        "dims": sound(name, dims, version=2),
        "aligned": sound(name + aligned, dims[:2], alignment=64),
        "split": sound(name + split, dims[:1]),
        "llama": sound(name + words + scalars[:3], all_formats[:2]),
    }


def integers(size: int, old: int) -> list[int]:
    limits = [2**31, 2**32, 2**63, 2**64 - 1, 2**16, 2**17, 2**20, 2**24, 2**40, 2**42 + 1]
    around = [n + d for n in limits for d in (-1, 0, 1)]
    values = {0, 1, 2, 3, 5, -1, old - 1, old + 1, old * 2, *around}
    return sorted({value % 2 ** (8 * size) for value in values} - {old})


def changes(fields: list[Field]) -> Iterator[tuple[str, list[Field]]]:
    """Yield (name, fields) of every file that differs from `fields` in one place."""
    for i, field in enumerate(fields):
        before, after = fields[:i], fields[i + 1 :]
        yield f"cut{i}", before
        if field.data:
            yield f"cutin{i}", [*before, Field(field.data[:-1])]
            yield f"drop{i}", before + after
            yield f"twice{i}", [*before, field, field, *after]
        if field.kind == "int" and len(field.data) in (1, 2, 4, 8):
            size = len(field.data)
            for value in integers(size, int.from_bytes(field.data, "little")):
                yield f"int{i}-{value}", [*before, Field(value.to_bytes(size, "little")), *after]
        if field.kind == "type":
            for value in (*range(14), 30, 31, 39, 2**31, 2**32 - 1):
                yield f"type{i}-{value}", [*before, Field(struct.pack("<I", value)), *after]
        if field.kind == "text":
            for value in (b"\0", b"\xff", b"\x1b[2J", b"\xe2\x80\xae", b"../x"):
                yield f"text{i}-{value.hex()}", [*before, Field((value * 64)[: len(field.data)]), *after]
        if field.kind in ("magic", "items", "data"):
            yield f"ones{i}", [*before, Field(b"\xff" * len(field.data)), *after]
            yield f"reversed{i}", [*before, Field(field.data[::-1]), *after]


def repeats(fields: list[Field]) -> Iterator[tuple[str, list[Field]]]:
    """Yield files with equal texts (duplicate keys and names), or with an old or byte-swapped version."""
    texts = [field for field in fields if field.kind == "text"]
    for repeated in texts[:2]:
        same = []
        for field, following in zip(fields, [*fields[1:], None], strict=True):
            if following is not None and following.kind == "text":
                same.append(number(len(repeated.data), "Q"))
            else:
                same.append(repeated if field.kind == "text" else field)
        yield f"same-{repeated.data.hex()[:16]}", same
    for version in (0, 1, 4, 0x02000000, 0x03000000):
        yield (
            f"version{version:x}",
            [fields[0], replace(fields[1], data=struct.pack("<I", version)), *fields[2:]],
        )


# Other file types, and malformed files that no single mutation of a valid one produces.
OTHERS = {
    "other-zip": b"PK\x03\x04" + bytes(26),
    "other-pickle": b"\x80\x02}q\x00.",
    "other-html": b"<!DOCTYPE html><html><body>Sign in</body></html>",
    "other-lfs": b"version https://git-lfs.example/spec/v1\noid sha256:00\nsize 1\n",
    "other-gzip": b"\x1f\x8b\x08\x00" + bytes(16),
    "other-safetensors": struct.pack("<Q", 2) + b"{}",
    "other-ggml": b"lmgg" + bytes(28),
    "other-empty": b"",
    "other-five-dims": b"".join(field.data for field in sound([], [(b"w", [32, 1, 1, 1, 1], 0)])),
}


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of every seed: other file types, valid files, then mutations."""
    yield from OTHERS.items()
    for model, fields in models().items():
        yield f"{model}-sound", b"".join(field.data for field in fields)
    for model, fields in models().items():
        for change, changed in (*changes(fields), *repeats(fields)):
            yield f"{model}-{change}", b"".join(field.data for field in changed)


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    digests = set()
    for name, data in corpus():
        digest = hashlib.sha256(data).hexdigest()
        if digest not in digests:
            digests.add(digest)
            (folder / name).write_bytes(data)
    print(f"{len(digests)} seeds")
    return 0 if digests else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
