"""Malformed GGUF files, one case at a time: each is rejected with a one-sentence message.

These cases cover the container; tests/hostile/test_models.py covers the hyperparameters and tensors of a
model.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from zeropoint import _native
from zeropoint.errors import BadModelFile
from zeropoint.weights.gguf.reader import open_gguf

BIG = (2**31, 2**32, 2**63, 2**64 - 1)
WRITE = Callable[[bytes], Path]


@pytest.fixture
def rejects(tmp_path: Path) -> Callable[..., str]:
    """Write the bytes, open the file, check that the message has all the words, and return it."""

    def check(data: bytes, *words: str) -> str:
        path = tmp_path / "hostile.gguf"
        path.write_bytes(data)
        with pytest.raises(BadModelFile) as error:
            open_gguf(path)
        message = str(error.value)
        assert error.value.exit_code == 2
        assert message.startswith(str(path))
        assert message.isprintable()
        for word in words:
            assert word in message
        return message

    return check


class Bytes:
    """Builds GGUF files from the corpus generator's parts."""

    def __init__(self, seeds: ModuleType) -> None:
        self.seeds = seeds

    def file(self, entries=(), tensors=(), *, counts=None, version=3, data=256, alignment=32) -> bytes:
        n_tensors, n_entries = counts or (len(tensors), len(entries))
        fields = [field for part in (*entries, *tensors) for field in part]
        head = struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_entries) + b"".join(
            f.data for f in fields
        )
        return head + bytes(-len(head) % alignment) + bytes(data)

    def entry(self, key: bytes, kind: int, value: bytes) -> bytes:
        return self.file([self.seeds.entry(key, kind, self.seeds.Field(value))])

    def array(self, kind: int, count: int, items: bytes) -> bytes:
        return self.entry(b"key", self.seeds.ARRAY, struct.pack("<IQ", kind, count) + items)

    def tensor(self, name: bytes = b"w", dims=(32, 2), kind: int = 0, offset: int = 0, **options) -> bytes:
        return self.file((), [self.seeds.tensor(name, list(dims), kind, offset)], **options)

    def raw_tensor(self, n_dims: int, dims: bytes) -> bytes:
        table = struct.pack("<Q", 1) + b"w" + struct.pack("<I", n_dims) + dims + struct.pack("<IQ", 0, 0)
        return self.file((), [[self.seeds.Field(table)]])


@pytest.fixture
def make(seeds: ModuleType) -> Bytes:
    return Bytes(seeds)


def test_an_empty_or_truncated_header_is_rejected(make: Bytes, rejects):
    rejects(b"", "is empty; fetch it again")
    rejects(b"GGUF", "the header is cut off: the file ends at byte 4; fetch it again")
    valid = make.tensor()
    for size in range(1, len(valid)):
        rejects(valid[:size], "; fetch it again")


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PK\x03\x04", "a ZIP archive, perhaps a PyTorch checkpoint, whose pickles can run code"),
        (b"\x80\x04\x95", "a Python pickle, which can run code"),
        (b"<!doctype html>", "an HTML page"),
        (b"version https://git-lfs.example/spec/v1\n", "a Git LFS pointer"),
        (b"\x1f\x8b\x08", "gzip-compressed; unpack it first"),
        (b"\x02\0\0\0\0\0\0\0{}", "a safetensors file; convert it to GGUF"),
        (b"hello", "its first bytes are unknown"),
    ],
)
def test_another_kind_of_file_is_identified(start: bytes, words: str, rejects):
    rejects(start + bytes(40), f": it is not a GGUF file: it is {words}".replace("it is its", "its"))


@pytest.mark.parametrize("version", [0, 1, 4, 2**32 - 1])
def test_other_gguf_versions_are_rejected(version: int, make: Bytes, rejects):
    rejects(make.tensor(version=version), f"its GGUF version is {version}; it must be 2 or 3")


@pytest.mark.parametrize("version", [2, 3])
def test_big_endian_files_are_rejected(version: int, make: Bytes, rejects):
    rejects(b"GGUF" + struct.pack(">IQQ", version, 1, 1) + bytes(99), "a big-endian GGUF", "convert it")
    rejects(b"FUGG" + struct.pack(">IQQ", version, 1, 1), "a byte-swapped GGUF")


@pytest.mark.parametrize("count", [50, *BIG])
def test_counts_larger_than_the_file_are_rejected(count: int, make: Bytes, rejects):
    rejects(
        make.file(counts=(count, 0)),
        f"the tensor count is {count}, but the 264 bytes left can hold at most 8",
    )
    rejects(make.file(counts=(0, count)), f"the metadata count is {count}, but the", "can hold at most 18")


@pytest.mark.parametrize("size", BIG)
def test_strings_past_the_end_are_rejected(size: int, make: Bytes, rejects):
    length = struct.pack("<Q", size)
    rejects(
        make.file([[make.seeds.Field(length + b"key")]]), f"the key has {size} bytes, but the file has only"
    )
    rejects(make.entry(b"key", make.seeds.TEXT, length), f"metadata `key`: the text has {size} bytes")
    rejects(make.array(make.seeds.TEXT, 1, length), f"metadata `key`: an item has {size} bytes")


def test_invalid_keys_are_rejected(make: Bytes, rejects):
    u8 = make.seeds.U8
    rejects(make.entry(b"k" * 65536, u8, b"\1"), "the key has 65536 bytes; it may have at most 65535")
    rejects(make.entry(b"", u8, b"\1"), "the key is empty")
    rejects(make.entry(b"a\xffb", u8, b"\1"), r"the key `a\xffb` is not valid UTF-8")
    rejects(make.entry(b"a\0b", u8, b"\1"), r"the key `a\u{0}b` contains a NUL character")
    twice = [make.seeds.scalar(b"key", u8, 1)] * 2
    rejects(make.file(twice), "the metadata key `key` occurs twice")
    rejects(make.entry(b"key", make.seeds.TEXT, b"\1\0\0\0\0\0\0\0\xff"), "the text", "is not valid UTF-8")


def test_invalid_arrays_are_rejected(make: Bytes, rejects):
    s = make.seeds
    rejects(make.array(s.U64, 2**61, b"x" * 8), "has 2305843009213693952 items, but the")
    rejects(make.array(s.U64, 2**61 + 1, b"x" * 8), "items, but the")
    rejects(make.array(13, 1, b"x"), "an array of the unknown item type 13; types are 0 to 12")
    rejects(make.array(s.BOOL, 2**40, b"\1"), "has 1099511627776 items, but the")
    rejects(make.array(s.BOOL, 1, b"\2"), "has the bool 2; it must be 0 or 1")
    rejects(make.array(s.ARRAY, 1, struct.pack("<IQ", s.ARRAY, 1) * 10**5), "is an array of arrays")
    rejects(make.array(s.U8, 2**20 + 1, bytes(2**20 + 1)), "1048577 items; it may have at most 1048576")
    rejects(make.entry(b"key", 13, b"x"), "metadata `key` has the unknown value type 13")


def test_known_keys_of_another_type_are_rejected(make: Bytes, rejects, tmp_path: Path):
    s = make.seeds
    rejects(make.entry(b"general.alignment", s.I32, bytes(4)), "is of type INT32; it must be UINT32")
    rejects(make.entry(b"general.alignment", s.TEXT, b"\2\0\0\0\0\0\0\00032"), "is of type STRING")
    path = tmp_path / "types.gguf"
    entries = [s.array(b"tokenizer.ggml.scores", s.U8, [1, 2]), s.scalar(b"llama.block_count", s.F32, 2)]
    path.write_bytes(make.file([*entries, s.scalar(b"llama.context_length", s.BOOL, 1)]))
    model = open_gguf(path)
    with pytest.raises(BadModelFile, match="scores` is a list of int; it must be a list of float"):
        model.get_list("tokenizer.ggml.scores", float)
    with pytest.raises(BadModelFile, match="block_count` is a float; it must be an integer from 1 to 512"):
        model.get_int("llama.block_count", 1, 512)
    with pytest.raises(BadModelFile, match="context_length` is a bool; it must be an integer"):
        model.get_int("llama.context_length", 1, 10)


@pytest.mark.parametrize("alignment", [0, 1, 3, 2**31])
def test_invalid_alignments_are_rejected(alignment: int, make: Bytes, rejects):
    words = f"`general.alignment` is {alignment}; it must be a power of two from 8 to 1048576"
    rejects(make.entry(b"general.alignment", make.seeds.U32, struct.pack("<I", alignment)), words)


def test_data_past_the_end_is_rejected(make: Bytes, rejects):
    s = make.seeds
    far = s.scalar(b"general.alignment", s.U32, 2**20)
    rejects(make.file([far], [s.tensor(b"w", [8], 0, 0)]), "tensor `w` lies outside the file")


@pytest.mark.parametrize("n_dims", [0, 5, 2**32 - 1])
def test_an_invalid_number_of_dimensions_is_rejected(n_dims: int, make: Bytes, rejects):
    rejects(make.raw_tensor(n_dims, bytes(40)), f"tensor `w` has {n_dims} dimensions; it must have 1 to 4")


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ((32, 0), "dimension 1 is 0; it must be at least 1"),
        ((2**64 - 1,), "dimension 0 is 18446744073709551615, more weights than any file can hold"),
        ((32, 2**42 + 1), "needs more bytes than the 320 of the whole file"),
        ((2**32, 2**32), "dimension 1 is 4294967296, more weights"),
        ((2**16,) * 4, "dimension 3 is 65536, more weights"),
        ((2**62,), "needs more bytes than"),
        ((2**63 - 32,), "needs more bytes than"),
    ],
)
def test_invalid_dimensions_are_rejected(dims: tuple[int, ...], words: str, make: Bytes, rejects):
    data = make.tensor(dims=dims)
    rejects(data, "tensor `w`", words.replace("320", str(len(data))))


def test_invalid_offsets_are_rejected(make: Bytes, rejects):
    rejects(make.tensor(offset=16), "tensor `w` has the offset 16; it must be a multiple of 32")
    for offset in (32, 2**32, 2**63, 2**64 - 32):
        rejects(make.tensor(offset=offset), "tensor `w` lies outside the file, which ends at byte")
    s = make.seeds
    two = [s.tensor(b"a", [32, 2], 0, 0), s.tensor(b"b", [32, 2], 0, 128)]
    rejects(make.file((), two, data=512), "tensor `b` overlaps tensor `a`")
    rejects(make.tensor(dims=(32, 2**20)), "tensor `w` needs more bytes than")


@pytest.mark.parametrize(
    ("kind", "name"), [(4, "Q4_2"), (9, "Q8_1"), (31, "Q4_0_4_4"), (99, "not in the spec")]
)
def test_unsupported_tensor_types_are_rejected(kind: int, name: str, make: Bytes, rejects):
    listed = (
        "supported are F32 (0), F16 (1), Q4_0 (2), Q4_1 (3), Q5_0 (6), Q5_1 (7), Q8_0 (8), Q2_K (10), "
        "Q3_K (11), Q4_K (12), Q5_K (13), Q6_K (14), IQ2_XXS (16), IQ2_XS (17), IQ3_XXS (18), IQ1_S (19), "
        "IQ4_NL (20), IQ3_S (21), IQ2_S (22), IQ4_XS (23), IQ1_M (29), BF16 (30), TQ1_0 (34), TQ2_0 (35), "
        "MXFP4 (39), NVFP4 (40), Q1_0 (41), Q2_0 (42)"
    )
    rejects(make.tensor(kind=kind), f"tensor `w` has the type id {kind} ({name}", listed)


BLOCK_FORMATS = [form for form in _native.formats() if form[2] > 1]


@pytest.mark.parametrize("form", BLOCK_FORMATS, ids=lambda form: form[0])
def test_rows_must_divide_into_blocks(form: tuple[str, int, int, int], make: Bytes, rejects):
    name, kind, block, _ = form
    message = f"rows of {block + 16} weights; for {name} it must be a multiple of {block}"
    rejects(make.tensor(dims=(block + 16, 2), kind=kind), message)


def test_duplicate_tensors_are_rejected(make: Bytes, rejects):
    s = make.seeds
    rejects(make.file((), [s.tensor(b"w", [32], 0, 0), s.tensor(b"w", [32], 0, 128)]), "`w` occurs twice")


def test_control_characters_in_names_are_escaped(make: Bytes, rejects):
    message = rejects(make.tensor(name=b"\x1b[31m\a\xe2\x80\xae" + b"n" * 200, kind=99))
    assert "`\\u{1b}[31m\\u{7}\\u{202e}nnn" in message
    assert "n" * 60 not in message
    assert "\u2026" in message


def test_only_regular_files_are_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("/none/such/file")
    names = {tmp_path: "a folder", Path("/dev/zero"): "a device", Path("/dev/random"): "a device"}
    names |= {
        tmp_path / "pipe": "a pipe",
        tmp_path / "dangling": "No such file",
        tmp_path / "none": "No such file",
    }
    with socket.socket(socket.AF_UNIX) as server:
        old = Path.cwd()
        os.chdir(tmp_path)  # the address of a socket has at most 108 bytes
        server.bind("socket")
        os.chdir(old)
        names[tmp_path / "socket"] = "a socket"
        for path, words in names.items():
            with pytest.raises(BadModelFile, match=words):
                open_gguf(path)
    with pytest.raises(BadModelFile, match="NUL"):
        open_gguf("a\0b")
    with pytest.raises(BadModelFile, match=r"cannot open \\u\{1b\}\[1mx\\xff: No such file"):
        open_gguf("\x1b[1mx\udcff")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_unreadable_files_are_rejected(tmp_path: Path):
    path = tmp_path / "secret.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0)
    with pytest.raises(BadModelFile, match="Permission denied"):
        open_gguf(path)


MEASURE = """
import resource, sys
from zeropoint.errors import BadModelFile
from zeropoint.weights.gguf.reader import open_gguf
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    print(len(open_gguf(sys.argv[1]).metadata), end=" ")
except BadModelFile as error:
    print(0, end=" ")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def many_strings(make: Bytes) -> bytes:
    """Three arrays of 2^20 one-letter strings: 28 MB."""
    items = make.seeds.Field(struct.pack("<IQ", make.seeds.TEXT, 2**20) + b"\1\0\0\0\0\0\0\0x" * 2**20)
    return make.file([make.seeds.entry(b"%d" % i, make.seeds.ARRAY, items) for i in range(3)])


@pytest.mark.process
@pytest.mark.parametrize("kind", ["many entries", "many strings", "many tensors"])
def test_memory_stays_below_twice_the_file_size(kind: str, make: Bytes, tmp_path: Path):
    s = make.seeds
    u8 = struct.pack("<IB", s.U8, 1)
    if kind == "many entries":
        keys = b"".join(struct.pack("<Q", 5) + b"%05x" % i + u8 for i in range(2**16))
        data = make.file([[s.Field(keys)]], counts=(0, 2**16))
    elif kind == "many strings":
        data = many_strings(make)
    else:
        table = b"".join(struct.pack("<Q5sIQIQ", 5, b"%05x" % i, 1, 8, 0, 32 * i) for i in range(2**17))
        data = make.file((), [[s.Field(table)]], counts=(2**17, 0), data=32 * 2**17)
    path = tmp_path / "large.gguf"
    path.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    n_entries, used_bytes = map(int, done.stdout.split())
    assert n_entries == {"many entries": 2**16, "many strings": 3, "many tensors": 0}[kind]
    assert used_bytes < 2 * len(data) + 64 * 2**20


STARVE = """
import os, resource, sys
from zeropoint.errors import OutOfMemory
from zeropoint.weights.gguf.reader import open_gguf
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
for extra in range(0, 100, 12):
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_AS, (used + extra * 2**20,) * 2)
        try:
            model = open_gguf(sys.argv[1])
            n_items = sum(len(model.metadata[key]) for key in model.metadata)
            os._exit(0 if n_items == 3 * 2**20 else 3)
        except OutOfMemory as error:
            os._exit(1 if str(error).startswith("not enough") else 3)
        except BaseException as error:
            print(type(error), error, file=sys.stderr)
            os._exit(3)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), end=" ")
"""


@pytest.mark.process
def test_running_out_of_memory_gives_one_sentence(make: Bytes, tmp_path: Path):
    """The allocation that fails differs with the limit: the mapping, the header, the values."""
    path = tmp_path / "large.gguf"
    path.write_bytes(many_strings(make))
    done = subprocess.run(
        [sys.executable, "-c", STARVE, str(path)], capture_output=True, text=True, timeout=60, check=True
    )
    codes = done.stdout.split()
    assert set(codes) <= {"0", "1"}, done.stderr
    assert codes[0] == "1"
