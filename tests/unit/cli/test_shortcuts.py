"""Names that people know from other programs: `run`, `pull`, `list`, `ps`, `rm`, `help`, and others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_model import FakeModel
from zeropoint.cli.shortcuts import ELSEWHERE, OPTIONS, SHORTCUTS
from zeropoint.files.locks import exclusive_lock


@pytest.mark.parametrize("name", [*SHORTCUTS, "run", "ps", "help"])
def test_the_help_lists_what_people_type(run: Run, name: str) -> None:
    assert f"\n  {name} " in run("--help").out
    assert run(name, "--help").out.startswith(f"Usage: zeropoint {name}")


@pytest.mark.parametrize("name", SHORTCUTS)
def test_a_shortcut_is_the_subcommand(run: Run, name: str) -> None:
    shortcut = SHORTCUTS[name]
    full = run(shortcut.group, shortcut.name, "--help").out
    assert run(name, "--help").out.split("\n", 1)[1] == full.split("\n", 1)[1]


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_of_another_program_is_answered_with_ours(run: Run, name: str) -> None:
    command = ("convert", "a", "b.gguf") if OPTIONS[name] == "--to" else ("chat", "hi")
    for spelling in (name, name.replace("-", "_").replace("__", "--", 1)):
        result = run(*command, spelling, "1")
        assert (result.code, result.out) == (2, "")
        assert (
            f"No such option '{spelling}': it is {OPTIONS[name]} here; see `zeropoint {command[0]} --help`"
            in (result.err)
        )


def test_an_option_that_the_command_lacks_is_not_suggested(run: Run) -> None:
    assert "it is" not in run("convert", "a", "b", "--temp", "1").err


def test_list_shows_the_catalogue(run: Run) -> None:
    assert run("list").out == run("ls").out == run("models", "list").out != ""


@pytest.mark.parametrize("argv", [("some:model", "hi"), ("--temperature", "0", "some:model", "hi")])
def test_run_takes_the_model_as_its_first_argument(run: Run, model: FakeModel, argv: tuple[str, ...]) -> None:
    assert run("run", *argv).out == "[hi]\n"
    assert model.loaded_with["name"] == "some:model"


@pytest.mark.parametrize("argv", [("-m", "some:model", "hi"), ("hi", "--model", "some:model")])
def test_run_says_how_to_name_the_model(run: Run, argv: tuple[str, ...]) -> None:
    result = run("run", *argv)
    message = "error: `zeropoint run` takes the model without --model: zeropoint run some:model\n"
    assert (result.code, result.out, result.err) == (2, "", message)


def test_run_without_a_model_uses_the_default(run: Run, model: FakeModel) -> None:
    assert run("run", stdin=b"hi").out == "[hi]\n"
    assert model.loaded_with["name"] == "smollm2:135m"


@pytest.mark.parametrize("names", [(), ("chat",), ("models", "pull"), ("pull",)])
def test_help_shows_the_help_of_a_command(run: Run, names: tuple[str, ...]) -> None:
    assert run("help", *names) == run(*names, "--help")


def test_help_of_an_unknown_command_is_bad_usage(run: Run) -> None:
    result = run("help", "chta")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: unknown command `chta`; expected one of")


@pytest.mark.parametrize(
    ("name", "closest"),
    [("lsit", "list"), ("pll", "pull"), ("hlep", "help"), ("rnu", "run"), ("LIST", "list")],
)
def test_did_you_mean_knows_these_names(run: Run, name: str, closest: str) -> None:
    assert f"(closest: {closest})" in run(name).err


@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_command_of_another_program_is_answered(run: Run, name: str) -> None:
    result = run(name, "x")
    assert (result.code, result.out, result.err.count("\n")) == (2, "", 1)
    assert ELSEWHERE[name] in result.err


def test_ps_lists_runs_in_training_and_downloads(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZEROPOINT_HOME", str(tmp_path / "home"))
    training, download = Path("runs/mine"), tmp_path / "home" / "models" / ".locks"
    training.mkdir(parents=True)
    download.mkdir(parents=True)
    (training.parent / "idle").mkdir()
    (training.parent / "idle" / "lock").touch()
    with (
        exclusive_lock(training / "lock", pytest.fail),
        exclusive_lock(download / "smollm2-135m.lock", pytest.fail),
    ):
        rows = [line.split("\t") for line in run("ps").out.splitlines()]
        listed = json.loads(run("ps", "--json").out)
    assert [row[:2] for row in rows] == [["training", "runs/mine"], ["download", "smollm2:135m"]]
    assert all(row[2].startswith("process ") for row in rows)
    assert listed == [dict(zip(("activity", "name", "process"), row, strict=True)) for row in rows]


@pytest.mark.usefixtures("terminal")
def test_ps_says_when_nothing_is_running(run: Run) -> None:
    result = run("--no-color", "ps")
    assert (result.code, result.out) == (0, "")
    assert result.err == "no run in runs is being trained and no model is being downloaded\n"
