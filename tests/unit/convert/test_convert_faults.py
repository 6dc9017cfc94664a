"""A failed conversion (refused, full disk, I/O error, kill) leaves the old target or the new one."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.tiny import write_tiny_model
from zeropoint.convert.convert import convert
from zeropoint.engine.session.load import load
from zeropoint.errors import BadInput, BadModelFile, DiskError
from zeropoint.files import atomic_write
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "source" / "tiny.gguf"
    path.parent.mkdir()
    write_tiny_model(path)
    return path


def left_over(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".tmp." in path.name]


@pytest.mark.heavy
def test_an_existing_target_is_replaced_only_with_force(tiny: Path, tmp_path: Path):
    for name in ("out.gguf", "out"):
        convert(tiny, tmp_path / name)
        with pytest.raises(
            BadInput, match=rf"{name} exists; choose another target, or replace it with --force"
        ):
            convert(tiny, tmp_path / name)
        convert(tiny, tmp_path / name, force=True)
    (tmp_path / "empty").mkdir()
    convert(tiny, tmp_path / "empty")
    assert open_model(tmp_path / "empty").blueprint.family == "llama"
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("x.safetensors", r"a target must end in .gguf or be the name of a folder"),
        ("x.bin", r"a target must end in .gguf"),
        ("x-00001-of-00002.gguf", "is the name of one shard of a model"),
        ("there/is/none.gguf", "there is no folder"),
        ("folder.gguf", r"folder.gguf is not a file"),
        ("file", "file is not a folder"),
        ("home", "contains more than a model and is not replaced"),
    ],
)
def test_invalid_targets_are_refused(name: str, words: str, tiny: Path, tmp_path: Path):
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "home").mkdir()
    for kept in ("config.json", "thesis.tex"):
        (tmp_path / "home" / kept).write_text("mine")
    with pytest.raises(BadInput, match=words):
        convert(tiny, tmp_path / name, force=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "mine"


def test_a_full_disk_is_refused_before_the_first_byte(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    for name in ("out.gguf", "out"):
        with pytest.raises(DiskError, match=r"not enough space in .*: .* MB needed, 0.0 MB free"):
            convert(tiny, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


@pytest.mark.parametrize("name", ["out.gguf", "out"])
def test_a_failed_write_leaves_the_old_model(name: str, tiny: Path, tmp_path: Path):
    target = tmp_path / name
    convert(tiny, target)
    before = open_model(target).weights["embedding.weight"]

    def full(total: int | None, done: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskError, match="not enough space to write"):
        convert(tiny, target, to="F16", force=True, progress=full)
    np.testing.assert_array_equal(open_model(target).weights["embedding.weight"], before)
    assert left_over(tmp_path) == []


class Failing:
    """Counts calls of what may fail, and fails the k-th."""

    def __init__(self, k: int, code: int) -> None:
        self.calls, self.k, self.code = 0, k, code

    def count(self) -> None:
        self.calls += 1
        if self.calls == self.k:
            raise OSError(self.code, os.strerror(self.code))

    def open(self, path: Path, mode: str) -> io.BufferedWriter:
        failing = self

        class Writer(io.FileIO):
            def write(self, data: object) -> int:
                failing.count()
                return super().write(data)

        return Writer(path, mode)

    def fsync(self, fd: int) -> None:
        self.count()


@pytest.mark.heavy
@pytest.mark.parametrize("name", ["out.gguf", "out"])
@pytest.mark.parametrize("call", ["open", "fsync"])
def test_an_error_at_any_write_or_flush_leaves_the_old_model(
    name: str, call: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """F3 and F4, for every k-th write until none fails."""
    target = tmp_path / name
    convert(tiny, target)
    before = open_model(target).weights["blocks.0.attention.query.weight"]
    for k in range(1, 200):
        failing = Failing(k, errno.ENOSPC if call == "open" else errno.EIO)
        with monkeypatch.context() as patched:
            if call == "open":
                patched.setattr(atomic_write, "open", failing.open, raising=False)
            else:
                patched.setattr(os, "fsync", failing.fsync)
            with contextlib.suppress(DiskError):
                convert(tiny, target, to="F16", force=True)
        assert left_over(tmp_path) == []
        form = {info.format for info in open_model(target).weights.lazy.values() if len(info.shape) > 1}
        if failing.calls < k:
            break
        # The flush of the folder comes after the rename: the new model is there, though perhaps not for good.
        if form == {"F32"}:
            np.testing.assert_array_equal(
                open_model(target).weights["blocks.0.attention.query.weight"], before
            )
    assert k > (20 if call == "open" else 2)
    assert form == {"F16"}


def test_a_loaded_file_may_be_replaced(tiny: Path):
    """The new file is complete, and whoever has the old one open goes on with it (F34)."""
    with load(tiny) as model:
        ids = model.tokenize("abc")
        before = model.logits(ids)
        convert(tiny, tiny, to="Q8_0", force=True)
        np.testing.assert_array_equal(model.logits(ids), before)
    assert open_gguf(tiny).tensors["blk.0.attn_q.weight"].format == "Q8_0"
    with load(tiny) as model:
        assert model.logits(ids).shape == before.shape


@pytest.mark.heavy
def test_a_folder_may_be_converted_in_place(tiny: Path, tmp_path: Path):
    convert(tiny, tmp_path / "a")
    convert(tmp_path / "a", tmp_path / "a", to="BF16", force=True)
    assert {info.format for info in open_model(tmp_path / "a").file.stored.tensors.values()} == {"BF16"}


def test_a_source_with_nan_is_refused(tiny: Path, tmp_path: Path):
    write_tiny_model(tmp_path / "nan.gguf", weights={"output_norm.weight": np.full(64, np.nan, np.float32)})
    with pytest.raises(BadModelFile, match=r"out.gguf was not written, because it does not run: .* NaN"):
        convert(tmp_path / "nan.gguf", tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()


def test_an_unknown_format_is_refused(tiny: Path, tmp_path: Path):
    with pytest.raises(BadInput, match=r"unknown format `Q9_0`; expected one of .*Q8_0"):
        convert(tiny, tmp_path / "x.gguf", to="q9_0")
    with pytest.raises(BadInput, match="a folder can store F32, F16, BF16, not Q8_0"):
        convert(tiny, tmp_path / "x", to="Q8_0")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.modules["torch"] = None  # its threads do not survive a fork
from zeropoint import tokenizers
from zeropoint.convert.convert import convert
source, target, every, first = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
convert(source, target.with_name("warm" + target.suffix), force=True)  # imports and threads are there
def die_at(k):
    calls = 0
    def count(frame, event, arg):
        nonlocal calls
        if event == "c_call" and "/weights/" in frame.f_code.co_filename:
            calls += 1
            if calls == k:
                os.kill(os.getpid(), signal.SIGKILL)
    return count
k, kills = first, 0
while True:
    child = os.fork()
    if not child:
        sys.setprofile(die_at(k))
        convert(source, target, to="F16", force=True)
        sys.setprofile(None)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        print("ended", os.waitstatus_to_exitcode(status), kills)
        break
    kills += 1
    from zeropoint.weights.open_model import open_model
    weights = open_model(target).weights
    print({weights.lazy[name].format for name in weights if name.endswith("query.weight")}.pop(), flush=True)
    k += every
"""


@pytest.mark.process
@pytest.mark.parametrize(("name", "every"), [("out.gguf", 29), ("out", 29)])
def test_a_kill_at_any_moment_leaves_the_old_or_the_new_model(
    name: str, every: int, tiny: Path, tmp_path: Path
):
    """F1: one process after another is killed a little later; the next one removes what it left."""
    target = tmp_path / name
    convert(tiny, target)
    command = [sys.executable, "-c", KILLED, str(tiny), str(target), str(every), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    *states, last = done.stdout.splitlines()
    assert last.startswith("ended 0")
    assert len(states) >= 20
    assert set(states) <= {"F32", "F16"}
    assert left_over(tmp_path) == []
