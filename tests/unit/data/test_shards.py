"""Shards: the same bits whoever computes them, and nothing that is wrong with them is read in silence."""

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
    lines = [json.dumps({"text": story(n)}) for n in range(30, 80)]  # ten of them are in a.txt too
    (folder / "b.jsonl").write_text("\n".join(lines))
    return folder


def texts(out: Path) -> tuple[list[str], list[str]]:
    """The documents of both sides."""
    _, codec, ids = read_shards(out)
    ends = codec.decode([codec.end_id or 0])
    train, held = (codec.decode(ids[side][:].tolist()).split(ends) for side in ("train", "validation"))
    assert train.pop() == held.pop() == ""  # every document ends
    return train, held


@pytest.mark.parametrize("tokenizer", ["characters", "bpe"])
def test_every_document_is_there_once_and_on_one_side(stories: Path, tmp_path: Path, tokenizer: str) -> None:
    manifest = prepare(stories, tmp_path / "out", TokenizeOptions(tokenizer, 300, 0.3), shard_tokens=1000)
    train, held = texts(tmp_path / "out")
    assert sorted(text.strip() for text in train + held) == sorted(
        story(n).strip() for n in [*range(40), *range(30, 80)]
    )
    assert {text.strip() for text in train}.isdisjoint(text.strip() for text in held)
    assert (manifest.train.n_documents, manifest.validation.n_documents) == (len(train), len(held))
    assert 0.15 < len(held) / 90 < 0.45
    assert len(manifest.train.shards) > 1


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_workers_make_no_difference(stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenize, "_TASK", 500)
    settings = TokenizeOptions("bpe", 300)
    first = prepare(stories, tmp_path / "one", settings, workers=1, shard_tokens=700)
    second = prepare(stories, tmp_path / "two", settings, workers=2, shard_tokens=700)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert first.sha256 == second.sha256


def test_a_long_text_is_the_same_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "long.txt"
    path.write_text(" ".join(story(n) for n in range(50)))
    settings = TokenizeOptions("bpe", 400)
    whole = prepare(path, tmp_path / "whole", settings)
    monkeypatch.setattr(tokenize, "_PIECE", 100)
    monkeypatch.setattr(tokenize, "_TASK", 300)
    assert prepare(path, tmp_path / "pieces", settings).sha256 == whole.sha256
    assert (whole.train.n_documents, whole.validation.n_documents) == (1, 1)
    _, codec, ids = read_shards(tmp_path / "whole")
    text = path.read_text()
    n = int(len(text) * 0.9)
    assert codec.decode(ids["train"][:].tolist()) == text[:n]
    assert codec.decode(ids["validation"][:].tolist()) == text[n:]


def test_what_is_there_and_right_is_left(stories: Path, tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "out"
    settings = TokenizeOptions("characters")
    prepare(stories, out, settings)
    before = (out / MANIFEST).stat().st_mtime_ns
    prepare(stories, out, settings, notice=said.append)
    assert (out / MANIFEST).stat().st_mtime_ns == before
    assert "holds this already" in said[0]
    for change in (
        lambda: (stories / "a.txt").write_text("Another story.\n"),
        lambda: (stories / "c.md").write_text("One more.\n"),
        lambda: (out / "train-00000.bin").write_bytes(b"damaged!"),
    ):
        change()
        prepare(stories, out, settings, notice=said.append)
        assert (out / MANIFEST).stat().st_mtime_ns != before
        before = (out / MANIFEST).stat().st_mtime_ns
        read_shards(out)
    prepare(stories, out, TokenizeOptions("bpe", 300), notice=said.append)
    assert "in another way" in said[-1]
    assert [path.name for path in tmp_path.iterdir() if ".tmp." in path.name] == []


def test_a_folder_of_something_else_is_not_replaced(stories: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(BadInput, match="holds no shards; choose another folder"):
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
    with pytest.raises(DiskError, match=r"a\.txt .* was changed while it was read"):
        prepare(stories, tmp_path / "out", TokenizeOptions("characters"))
    assert not (tmp_path / "out").exists()


def test_a_worker_that_dies_is_told_of(
    stories: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = tokenize.ProcessPoolExecutor.submit
    monkeypatch.setattr(tokenize.ProcessPoolExecutor, "submit", lambda pool, *_: submit(pool, os._exit, 1))
    with pytest.raises(MachineError, match="has ended before its work"):
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


BREAKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "odd": (lambda out: _append(out / "train-00000.bin", b"x"), "no whole number of ids of 2 bytes"),
    "cut": (lambda out: os.truncate(out / "train-00000.bin", 100), "has 50 ids instead of"),
    "gone": (lambda out: (out / "train-00000.bin").unlink(), "cannot be read"),
    "flipped": (
        lambda out: (out / "validation-00000.bin").write_bytes(
            bytes(8) + (out / "validation-00000.bin").read_bytes()[8:]
        ),
        "another sha256 than the manifest says",
    ),
    "too high": (
        lambda out: (out / "train-00000.bin").write_bytes(
            b"\xff\xff" + (out / "train-00000.bin").read_bytes()[2:]
        ),
        "has the id 65535, and the vocabulary ends at",
    ),
    "tokenizer": (
        lambda out: (out / "tokenizer.json").write_text('{"kind": "zeropoint.char", "characters": "abc"}'),
        "is not the one that the manifest names",
    ),
    "version": (lambda out: _change(out / MANIFEST, "version", 2), "its version is 2"),
    "format": (lambda out: _change(out / MANIFEST, "format", "x"), "its `format` is not"),
    "dtype": (lambda out: _change(out / MANIFEST, "dtype", "<f4"), "`dtype` must be <u2 or <u4"),
    "vocabulary": (lambda out: _change(out / MANIFEST, "n_vocab", 70_000), "have no room in <u2"),
    "extra": (lambda out: _change(out / MANIFEST, "more", 1), "no manifest of shards"),
    "path": (
        lambda out: (out / MANIFEST).write_text((out / MANIFEST).read_text().replace("train-", "../train-")),
        "needs a plain name",
    ),
    "no JSON": (lambda out: (out / MANIFEST).write_text("{"), "no manifest of shards"),
    "no object": (lambda out: (out / MANIFEST).write_text("[]"), "no manifest of shards"),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "a.txt").write_text("".join(story(n) for n in range(20)))
    prepare(folder / "a.txt", folder / "out", TokenizeOptions("characters"))
    return folder / "out"


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_wrong_is_named(made: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for file, content in files(made).items():
        (out / file).write_bytes(content)
    read_shards(out)
    damage, said = BREAKS[name]
    damage(out)
    with pytest.raises(BadInput, match=f"{said}.*prepare the data again"):
        read_shards(out)


def test_shards_read_as_one_array() -> None:
    whole = np.arange(100, dtype=np.uint16)
    parts = ShardedTokens([whole[:10], whole[10:11], whole[11:]])
    assert len(parts) == 100
    places = np.random.default_rng(0).integers(0, 100, (7, 5))
    assert (parts[places] == whole[places]).all()
    assert (parts[8:13] == whole[8:13]).all()
    assert (parts[:] == whole).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a.txt": ""}, "holds no text"),
        ({"a.txt": " \n", "b.txt": "\n"}, "holds no text"),
        (
            {"a.txt": "\ufeff\u200b\n", "b.txt": "\0\0", "c.txt": "<|endoftext|>\n<|endoftext|>\n"},
            "holds no text",
        ),
        ({"a.txt": "a" * 500}, "has one character and no other"),
        ({"a.txt": "a b"}, "comes to 2 tokens to learn from and 1 held out; each needs two"),
        ({"a.txt": "same", "b.txt": "same\n"}, "the 2 documents .* are all equal"),
    ],
)
def test_nothing_to_learn_from(tmp_path: Path, content: dict[str, str], said: str) -> None:
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=said):
        prepare(tmp_path, tmp_path.with_name("out"), TokenizeOptions("bpe", n_vocab=300))
    assert not tmp_path.with_name("out").exists()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_is_between(share: float) -> None:
    with pytest.raises(BadInput, match=r"validation is .*above 0 and below 1"):
        TokenizeOptions(validation=share)


def test_two_documents_are_one_on_each_side(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("The first of two.")
    (tmp_path / "b.txt").write_text("And the second.")
    with pytest.raises(BadInput, match="choose a folder outside"):
        prepare(tmp_path, tmp_path / "out")
    manifest = prepare(
        tmp_path, tmp_path.with_name("two out"), TokenizeOptions("characters", validation=0.01)
    )
    assert (manifest.train.n_documents, manifest.validation.n_documents) == (1, 1)
