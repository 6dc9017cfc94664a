"""`zeropoint data`: output and exit codes of its subcommands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zeropoint.cli.app import main

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def stories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("ZEROPOINT_DATA", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZEROPOINT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ZEROPOINT_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    lines = [json.dumps({"story": f"Story {n} of a boat."}) for n in range(50)]
    (tmp_path / "stories.jsonl").write_text("\n".join(lines))
    (tmp_path / "blank.txt").write_text(" \n\t\n")
    return tmp_path / "stories.jsonl"


def run(*argv: str) -> int:
    with pytest.raises(SystemExit) as exit:
        main(["data", *argv])
    return int(exit.value.code or 0)


def test_list_shows_what_is_downloaded(capsys: Capture) -> None:
    assert run("list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["harbour"]["downloaded"]
    assert not rows["shakespeare"]["downloaded"]
    assert run("list") == 0
    assert "shakespeare\t1.1 MB\tpublic domain text\tno\t" in capsys.readouterr().out


def test_pull_prints_paths(capsys: Capture) -> None:
    assert run("pull", "harbour") == 0
    assert capsys.readouterr().out.endswith("harbour.txt\n")
    assert run("pull", "shakespeare") == 1
    assert "offline mode is on" in capsys.readouterr().err
    assert run("pull", "shakspeare") == 2
    assert "closest: shakespeare" in capsys.readouterr().err


def test_prepare_writes_shards_that_show_describes(capsys: Capture, stories: Path) -> None:
    argv = ("prepare", "stories.jsonl", "--out", "shards", "--tokenizer", "characters", "--field", "story")
    assert run(*argv, "--json") == 0
    prepared = json.loads(capsys.readouterr().out)
    assert prepared["training_documents"] + prepared["validation_documents"] == 50
    assert run(*argv) == 0
    assert "training tokens" in capsys.readouterr().out
    assert run("show", "shards", "--check", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["sha256"], shown["changed_files"], shown["dtype"]) == (prepared["sha256"], [], "uint16")
    stories.write_text('{"story": "another"}')
    assert run("show", "shards", "--json") == 0
    assert json.loads(capsys.readouterr().out)["changed_files"] == ["stories.jsonl"]


def test_show_describes_a_data_set_and_a_file(capsys: Capture) -> None:
    assert run("show", "multi30k") == 0
    assert "its sha256\t726e39b2fa9eb9ff" in capsys.readouterr().out
    assert run("show", "stories.jsonl", "--field", "story", "--json") == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 50


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("prepare", "stories.jsonl", "--out", "x"), "stories.jsonl, line 1: unknown field `text`"),
        (("prepare", "nothing", "--out", "x"), "unknown data set `nothing`"),
        (("prepare", "harbour", "--out", "x", "--vocab", "20"), "give at least 257"),
        (("prepare", "harbour", "--out", "x", "--validation", "1"), "validation is 1.0"),
        (("prepare", "harbour", "--out", "x", "--workers", "0"), "expected 1 or more"),
        (("prepare", "blank.txt", "--out", "x"), "blank.txt has no text; give files that have some"),
        (("prepare", "harbour", "--out", "no/x"), "/no; create it or choose another folder"),
        (("prepare", "harbour", "--out", "."), "has no shards"),
        (("show", "nothing"), "or give the path of a file or folder"),
    ],
)
def test_bad_input_is_reported_in_one_sentence(argv: tuple[str, ...], message: str, capsys: Capture) -> None:
    assert run(*argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
