"""Shards: identical for any number of workers; every kind of damage is detected."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zeropoint.data import prepare as module
from zeropoint.data import tokenize
from zeropoint.data.prepare import prepare
from zeropoint.data.shards import MANIFEST, ShardedTokens, read_shards
from zeropoint.data.tokenize import TokenizeOptions
from zeropoint.errors import BadInput, DiskError, MachineError

WORDS = ("the", "harbour", "light", "turned", "and", "a", "boat", "came", "in", "slowly", "at", "night")


def story(n: int) -> str:
    """A few sentences, different for every n."""
    draw = np.random.default_rng(n)
    return ". ".join(" ".join(draw.choice(WORDS, 7)) for _ in range(1 + n % 4)) + f". {n}\n"


@pytest.fixture
def stories(tmp_path: Path) -> Path:
    folder = tmp_path / "stories"
    folder.mkdir()
    (folder / "a.txt").write_text("\n<|endoftext|>\n".join(story(n) for n in range(40)))
    lines = [json.dumps({"text": story(n)}) for n in range(30, 80)]  # ten of them are also in a.txt
    (folder / "b.jsonl").write_text("\n".join(lines))
    return folder


def texts(out: Path) -> tuple[list[str], list[str]]:
    """The documents of both splits."""
    _, codec, ids = read_shards(out)
    ends = codec.decode([codec.end_id or 0])
    train, validation = (
        codec.decode(ids[split][:].tolist()).split(ends) for split in ("train", "validation")
    )
    assert train.pop() == validation.pop() == ""  # every document ends
    return train, validation


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_every_document_is_in_exactly_one_split(stories: Path, tmp_path: Path, tokenizer: str) -> None:
    manifest = prepare(stories, tmp_path / "out", TokenizeOptions(tokenizer, 300, 0.3), shard_tokens=1000)
    train, validation = texts(tmp_path / "out")
    assert sorted(text.strip() for text in train + validation) == sorted(
        story(n).strip() for n in [*range(40), *range(30, 80)]
    )
    assert {text.strip() for text in train}.isdisjoint(text.strip() for text in validation)
    assert (manifest.train.n_documents, manifest.validation.n_documents) == (len(train), len(validation))
    assert 0.15 < len(validation) / 90 < 0.45
    assert len(manifest.train.shards) > 1


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.process
def test_the_number_of_workers_makes_no_difference(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenize, "_TASK_CHARACTERS", 500)
    settings = TokenizeOptions("bpe", 300)
    first = prepare(stories, tmp_path / "one", settings, workers=1, shard_tokens=700)
    second = prepare(stories, tmp_path / "two", settings, workers=2, shard_tokens=700)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert first.sha256 == second.sha256


@pytest.mark.slow
def test_cutting_a_long_text_makes_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.txt"
    path.write_text(" ".join(story(n) for n in range(50)))
    settings = TokenizeOptions("bpe", 400)
    whole = prepare(path, tmp_path / "whole", settings)
    monkeypatch.setattr(tokenize, "_PIECE_CHARACTERS", 100)
    monkeypatch.setattr(tokenize, "_TASK_CHARACTERS", 300)
    assert prepare(path, tmp_path / "pieces", settings).sha256 == whole.sha256
    assert (whole.train.n_documents, whole.validation.n_documents) == (1, 1)
    _, codec, ids = read_shards(tmp_path / "whole")
    text = path.read_text()
    n = int(len(text) * 0.9)
    assert codec.decode(ids["train"][:].tolist()) == text[:n]
    assert codec.decode(ids["validation"][:].tolist()) == text[n:]


def test_up_to_date_shards_are_left_unchanged(stories: Path, tmp_path: Path) -> None:
    notices: list[str] = []
    out = tmp_path / "out"
    settings = TokenizeOptions("characters")
    prepare(stories, out, settings)
    before = (out / MANIFEST).stat().st_mtime_ns
    prepare(stories, out, settings, notice=notices.append)
    assert (out / MANIFEST).stat().st_mtime_ns == before
    assert "is up to date" in notices[0]
    for change in (
        lambda: (stories / "a.txt").write_text("Another story.\n"),
        lambda: (stories / "c.md").write_text("One more.\n"),
        lambda: (out / "train-00000.bin").write_bytes(b"damaged!"),
    ):
        change()
        prepare(stories, out, settings, notice=notices.append)
        assert (out / MANIFEST).stat().st_mtime_ns != before
        before = (out / MANIFEST).stat().st_mtime_ns
        read_shards(out)
    prepare(stories, out, TokenizeOptions("bpe", 300), notice=notices.append)
    assert "its sources or settings have changed" in notices[-1]
    assert [path.name for path in tmp_path.iterdir() if ".tmp." in path.name] == []


def test_another_folder_is_not_replaced(stories: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(BadInput, match="has no shards; choose another folder"):
        prepare(stories, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def test_a_source_that_changes_while_it_is_read(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = tokenize.tokenize_corpus

    def changing(*args: Any) -> Any:
        (stories / "a.txt").write_text("the light turned.")
        return real(*args)

    monkeypatch.setattr(module, "tokenize_corpus", changing)
    with pytest.raises(DiskError, match=r"a\.txt .* changed while it was read"):
        prepare(stories, tmp_path / "out", TokenizeOptions("characters"))
    assert not (tmp_path / "out").exists()


def test_a_dead_worker_is_reported(stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    submit = tokenize.ProcessPoolExecutor.submit
    monkeypatch.setattr(tokenize.ProcessPoolExecutor, "submit", lambda pool, *_: submit(pool, os._exit, 1))
    with pytest.raises(MachineError, match="a tokenization process died"):
        prepare(stories, tmp_path / "out", workers=2)
    assert list(tmp_path.glob("out*")) == []


def _change(path: Path, key: str, value: object) -> None:
    raw = json.loads(path.read_text())
    raw[key] = value
    path.write_text(json.dumps(raw))


ORPHANS = """
import multiprocessing, os, pathlib, sys
from concurrent.futures import ProcessPoolExecutor
from zeropoint.data import tokenize
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), tokenize._start)
    pathlib.Path(sys.argv[1]).write_text(str(pool.submit(os.getpid).result()))
    os.kill(os.getpid(), 9)
"""


@pytest.mark.process
def test_no_worker_outlives_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    quiet = subprocess.DEVNULL
    subprocess.run([sys.executable, script, tmp_path / "pid"], stdout=quiet, stderr=quiet, check=False)
    worker = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if _is_gone(worker):
            return
        time.sleep(0.05)
    os.kill(worker, 9)
    pytest.fail("the worker still runs")


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "odd": (lambda out: _append(out / "train-00000.bin", b"x"), "which is not a multiple of 2"),
    "cut": (lambda out: os.truncate(out / "train-00000.bin", 100), "has 50 ids instead of"),
    "gone": (lambda out: (out / "train-00000.bin").unlink(), "cannot be read"),
    "flipped": (
        lambda out: (out / "validation-00000.bin").write_bytes(
            bytes(8) + (out / "validation-00000.bin").read_bytes()[8:]
        ),
        "a different sha256 than the manifest",
    ),
    "too high": (
        lambda out: (out / "train-00000.bin").write_bytes(
            b"\xff\xff" + (out / "train-00000.bin").read_bytes()[2:]
        ),
        "has the id 65535, but the highest id is",
    ),
    "tokenizer": (
        lambda out: (out / "tokenizer.json").write_text('{"kind": "zeropoint.char", "characters": "abc"}'),
        "does not match the manifest",
    ),
    "version": (lambda out: _change(out / MANIFEST, "version", 2), "`version` is 2"),
    "format": (lambda out: _change(out / MANIFEST, "format", "x"), "`format` must be"),
    "dtype": (lambda out: _change(out / MANIFEST, "dtype", "<f4"), "`dtype` must be <u2 or <u4"),
    "vocabulary": (lambda out: _change(out / MANIFEST, "n_vocab", 70_000), "does not fit in <u2"),
    "extra": (lambda out: _change(out / MANIFEST, "more", 1), "is not a valid manifest of shards"),
    "path": (
        lambda out: (out / MANIFEST).write_text((out / MANIFEST).read_text().replace("train-", "../train-")),
        "needs a plain name",
    ),
    "no JSON": (lambda out: (out / MANIFEST).write_text("{"), "is not a valid manifest of shards"),
    "no object": (lambda out: (out / MANIFEST).write_text("[]"), "is not a valid manifest of shards"),
}


@pytest.fixture(scope="module")
def shards_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards_folder")
    (folder / "a.txt").write_text("".join(story(n) for n in range(20)))
    prepare(folder / "a.txt", folder / "out", TokenizeOptions("characters"))
    return folder / "out"


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_detected_and_named(shards_folder: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for file, content in files(shards_folder).items():
        (out / file).write_bytes(content)
    read_shards(out)
    damage, message = DAMAGE[name]
    damage(out)
    with pytest.raises(BadInput, match=f"{message}.*prepare the data again"):
        read_shards(out)


def test_shards_read_like_one_array() -> None:
    whole = np.arange(100, dtype=np.uint16)
    parts = ShardedTokens([whole[:10], whole[10:11], whole[11:]])
    assert len(parts) == 100
    indices = np.random.default_rng(0).integers(0, 100, (7, 5))
    assert (parts[indices] == whole[indices]).all()
    assert (parts[8:13] == whole[8:13]).all()
    assert (parts[:] == whole).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.txt": ""}, "has no text"),
        ({"a.txt": " \n", "b.txt": "\n"}, "has no text"),
        (
            {"a.txt": "\ufeff\u200b\n", "b.txt": "\0\0", "c.txt": "<|endoftext|>\n<|endoftext|>\n"},
            "has no text",
        ),
        ({"a.txt": "a" * 500}, "repeats a single character"),
        ({"a.txt": "a b"}, "has 2 tokens for training and 1 for validation; each needs 2"),
        ({"a.txt": "same", "b.txt": "same\n"}, "the 2 documents .* are equal"),
    ],
)
def test_unusable_text_is_rejected(tmp_path: Path, content: dict[str, str], message: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=message):
        prepare(tmp_path, tmp_path.with_name("out"), TokenizeOptions("bpe", n_vocab=300))
    assert not tmp_path.with_name("out").exists()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_the_validation_share_is_checked(share: float) -> None:
    with pytest.raises(BadInput, match=r"validation is .*above 0 and below 1"):
        TokenizeOptions(validation=share)


def test_two_documents_go_to_different_splits(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The first of two.")
    (tmp_path / "b.txt").write_text("And the second.")
    with pytest.raises(BadInput, match="choose a folder outside"):
        prepare(tmp_path, tmp_path / "out")
    manifest = prepare(
        tmp_path, tmp_path.with_name("two out"), TokenizeOptions("characters", validation=0.01)
    )
    assert (manifest.train.n_documents, manifest.validation.n_documents) == (1, 1)
