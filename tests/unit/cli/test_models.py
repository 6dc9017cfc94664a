"""`zeropoint models`: output and exit codes of its subcommands."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import time
from pathlib import Path

import pytest

from zeropoint.catalogue import catalog
from zeropoint.cli.app import main
from zeropoint.cli.console import Console

Capture = pytest.CaptureFixture[str]


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def gguf() -> bytes:
    """A GGUF file with one F32 tensor and two metadata entries."""
    metadata = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    metadata += text("llama.context_length") + struct.pack("<II", 4, 77)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 2) + metadata
    head += text("x") + struct.pack("<IQIQ", 1, 8, 0, 0)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 32


MODEL = gguf()
CATALOGUE = f"""
[[model]]
name = "tiny:1"
description = "a test"
licence = "MIT"
file = "m.gguf"
format = "F32"
n_bytes = {len(MODEL)}
sha256 = "{hashlib.sha256(MODEL).hexdigest()}"
[model.blueprint]
n_layers = 1
n_heads = 2
n_kv_heads = 2
d_model = 8
d_head = 4
d_ff = 16
n_ctx = 77
n_vocab = 5
weight_bytes = 32
[[model.source]]
kind = "url"
url = "http://127.0.0.1:1/m.gguf"
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary cache and a catalogue with one model."""
    entries = catalog.read(CATALOGUE, "test.toml")
    monkeypatch.setattr(catalog, "load", lambda: entries)
    for name in ("ZEROPOINT_OFFLINE", "HF_HUB_OFFLINE", "ZEROPOINT_DEBUG", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("ZEROPOINT_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def downloaded(home: Path) -> Path:
    """The model file, placed where a download would put it."""
    path = home / "models/tiny-1/m.gguf"
    path.parent.mkdir(parents=True)
    path.write_bytes(MODEL)
    return path


def run(capsys: Capture, *words: str) -> tuple[int, str, str]:
    """(exit code, stdout, stderr) of `zeropoint models ...`."""
    with pytest.raises(SystemExit) as exit:
        main(["models", *words])
    captured = capsys.readouterr()
    return int(exit.value.code or 0), captured.out, captured.err


def test_list_before_and_after_a_download(capsys: Capture, downloaded: Path) -> None:
    row = "tiny:1\t0.0 MB\tMIT\thttp://127.0.0.1:1/m.gguf\tnot downloaded\n"
    assert run(capsys, "list") == (0, row, "")
    assert run(capsys, "pull", "tiny:1") == (0, f"{downloaded}\n", "")
    os.utime(downloaded.parent / "record.json", (0, 0))
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(0))
    assert run(capsys, "list")[1] == f"tiny:1\t0.0 MB\tMIT\tthis disk\t{used}\n"
    code, out, _ = run(capsys, "list", "--json")
    (row,) = json.loads(out)
    assert (code, row["name"], row["size_bytes"], row["path"]) == (0, "tiny:1", len(MODEL), str(downloaded))


def test_a_failed_pull_explains_why_on_stderr(capsys: Capture) -> None:
    code, out, err = run(capsys, "pull", "tiny:1")
    assert (code, out) == (1, "")
    assert err.startswith(
        "error: could not fetch tiny:1: http://127.0.0.1:1/m.gguf: Connection refused; check"
    )
    assert err.count("\n") == 1


def test_verbose_prints_notices(capsys: Capture) -> None:
    _, _, err = run(capsys, "pull", "-v", "tiny:1")
    assert "fetching tiny:1 (0.0 MB, MIT) from http://127.0.0.1:1/m.gguf" in err


def test_a_dry_run_downloads_nothing(capsys: Capture, home: Path) -> None:
    row = "tiny:1\t0.0 MB\tMIT\thttp://127.0.0.1:1/m.gguf\n"
    assert run(capsys, "pull", "--dry-run", "tiny:1") == (0, row, "")
    assert not home.exists()


def test_show_works_before_a_download(capsys: Capture, home: Path) -> None:
    code, out, err = run(capsys, "show", "tiny:1", "--json")
    facts = json.loads(out)
    assert (code, err) == (0, "")
    assert (facts["layers"], facts["weight_bytes"], facts["path"]) == (1, 32, None)
    assert not home.exists()


def test_show_a_file(capsys: Capture, downloaded: Path) -> None:
    code, out, _ = run(capsys, "show", str(downloaded))
    assert code == 0
    facts = {"architecture\tllama", "context length\t77", "tensors\t1", "licence\tunknown"}
    assert facts | {"sampling\tnone recommended"} <= set(out.splitlines())


def test_show_check_detects_a_changed_file(capsys: Capture, downloaded: Path) -> None:
    code, _, err = run(capsys, "show", "--check", "tiny:1")
    assert (code, "was not downloaded by zeropoint" in err) == (2, True)
    run(capsys, "pull", "tiny:1")
    assert "check\tSHA-256 matches\n" in run(capsys, "show", "--check", "tiny:1")[1]
    times = downloaded.stat().st_mtime_ns
    with downloaded.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"!")
    os.utime(downloaded, ns=(times, times))
    code, _, err = run(capsys, "show", "--check", "tiny:1")
    assert (code, "`zeropoint models remove tiny:1` and pull it again" in err) == (1, True)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"<html>", MODEL[:60]])
def test_show_rejects_invalid_files(capsys: Capture, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    code, out, err = run(capsys, "show", "bad.gguf")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "bad.gguf" in err


def test_remove(capsys: Capture, downloaded: Path) -> None:
    assert run(capsys, "remove", "tiny:1") == (0, "", "")
    assert not downloaded.exists()
    code, _, err = run(capsys, "remove", "tiny:1")
    assert (code, err) == (
        2,
        "error: tiny:1 is not on this disk; `zeropoint models list` shows the models that are\n",
    )


@pytest.mark.parametrize(
    "words", [("show", "nobody:knows"), ("pull", "a b"), ("remove", "./x.gguf"), ("pull",)]
)
def test_bad_input(capsys: Capture, words: tuple[str, ...]) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("words", [(), ("list",), ("pull",), ("show",), ("remove",)])
def test_help(capsys: Capture, words: tuple[str, ...]) -> None:
    code, out, _ = run(capsys, *words, "--help")
    assert code == 0
    assert "Usage: zeropoint models" in out


@pytest.fixture
def licensed(downloaded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a model under the Gemma Terms of Use, in place but without a record."""
    entries = catalog.read(CATALOGUE.replace('"MIT"', '"Gemma Terms of Use"'), "test.toml")
    monkeypatch.setattr(catalog, "load", lambda: entries)
    return downloaded


def test_pull_needs_the_licence_accepted(capsys: Capture, licensed: Path) -> None:
    code, out, err = run(capsys, "pull", "tiny:1")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "https://ai.google.dev/gemma/terms" in err
    assert "`zeropoint models pull tiny:1 --accept-licence` or ZEROPOINT_ACCEPT_LICENCE=gemma" in err
    assert run(capsys, "list")[1].split("\t")[2] == "Gemma Terms of Use (not accepted yet)"
    facts = json.loads(run(capsys, "show", "tiny:1", "--json")[1])
    assert (facts["licence_url"], facts["licence_accepted"]) == ("https://ai.google.dev/gemma/terms", False)

    assert run(capsys, "pull", "tiny:1", "--accept-licence") == (0, f"{licensed}\n", "")
    assert json.loads(run(capsys, "list", "--json")[1])[0]["licence_accepted"] is True
    assert "licence accepted\tyes\n" in run(capsys, "show", "tiny:1")[1]
    assert run(capsys, "pull", "tiny:1")[0] == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("", 2)])
def test_a_terminal_is_asked_about_the_licence(
    capsys: Capture, licensed: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr(Console, "can_ask", True)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    result, _, err = run(capsys, "pull", "tiny:1")
    assert result == code
    assert err.startswith("tiny:1 is under the Gemma Terms of Use: https://ai.google.dev/gemma/terms\n")
    assert "do you accept these terms? [y/N]: " in err
    assert ("error: tiny:1 is under" in err) == (code == 2)
