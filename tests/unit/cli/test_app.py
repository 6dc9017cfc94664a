"""The command line: finding commands, exit codes, errors, and a fast --help."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest

from tests.support.interrupt import restore_sigint
from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_model import FakeModel
from zeropoint import __version__, errors, registry
from zeropoint.cli import app
from zeropoint.cli.app import cli
from zeropoint.cli.console import Console

ROOT = Path(__file__).parents[3]
COMMANDS = registry.names("zeropoint.cli.commands")


def python(*argv: str, **kw: object) -> subprocess.CompletedProcess[str]:
    """Run Python on our sources, with a timeout."""
    return subprocess.run([sys.executable, *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, **kw)  # type: ignore[call-overload,no-any-return]


def test_help_lists_every_command_without_importing_heavy_packages() -> None:
    heavy = ["rich", "numpy", "jinja2", "tokenizers", "huggingface_hub", "prompt_toolkit", "torch"]
    program = (
        "import sys; from zeropoint.cli.app import main\n"
        "try: main(['--help'])\n"
        f"finally: print([m for m in {heavy} if m in sys.modules], file=sys.stderr)\n"
        "print([m for m in sys.modules if m.startswith('zeropoint.cli.commands.')], file=sys.stderr)"
    )
    done = python("-c", program)
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "[]")
    for name in COMMANDS:
        assert f"\n  {name.replace('_', '-')} " in done.stdout
    assert "Examples:" in done.stdout


@pytest.mark.parametrize("name", ["chat", "generate", "config"])
def test_help_of_a_command_needs_no_numpy(name: str) -> None:
    program = (
        "import sys; from zeropoint.cli.app import main\n"
        f"try: main([{name!r}, '--help'])\n"
        "finally: print([m for m in ('rich', 'numpy', 'tokenizers') if m in sys.modules], file=sys.stderr)"
    )
    assert python("-c", program).stderr.strip() == "[]"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_examples(run: Run, name: str) -> None:
    for flag in ("--help", "-h"):
        result = run(name.replace("_", "-"), flag)
        assert result.code == 0
        assert "Examples:" in result.out
        assert "--no-color" in result.out or "Commands:" in result.out


def test_commands_are_grouped_in_the_help(run: Run) -> None:
    text = run("--help").out
    titles = ["\nUse:\n", "\nLook inside:\n", "\nTrain:\n", "\nCheck:\n", "\nOptions:\n"]
    places = [text.index(title) for title in titles]
    assert places == sorted(places)
    assert "Other:" not in text  # every command names its group
    assert all(len(line) <= 80 for line in text.partition("Options:")[0].splitlines())


def test_options_are_grouped_and_common_ones_come_first(run: Run) -> None:
    text = run("generate", "--help").out.partition("\nOptions:")[2]
    expected = ["--model", "--max-tokens", "--steer", "--temperature", "--top-k", "--threads", "--verbose"]
    places = [text.index(name) for name in expected]
    assert places == sorted(places)
    titles = re.findall(r"^(\w[\w ]*):$", text, re.MULTILINE)
    assert titles == [
        "Probabilities",
        "Form of the answer",
        "Change the model",
        "Sampling",
        "Engine",
        "Every command",
    ]


def test_ranges_are_in_words(run: Run) -> None:
    text = "".join(run(name.replace("_", "-"), "--help").out for name in COMMANDS)
    assert "[default: 5; 1 to 1000]" in " ".join(text.split())
    assert "x<=" not in text
    assert "x>=" not in text


def test_without_a_command_help_is_printed(run: Run) -> None:
    assert run().out == run("--help").out


def test_version(run: Run) -> None:
    assert run("--version").out == f"zeropoint {__version__}\n"


def test_python_dash_m() -> None:
    assert python("-m", "zeropoint", "--version").stdout == f"zeropoint {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["chta"], "unknown command `chta`; expected one of"),
        (["chta"], "(closest: chat)"),
        (["chat", "--temprature", "1"], "--temperature"),
        (["chat", "--threads", "x"], "'x' is not a whole number"),
        (["chat", "--temperature", "hot"], "'hot' is not a number"),
        (["chat", "--temperature", "3", "hi"], "temperature must be a number between 0 and 2"),
        (["chat", "--temperature", "nan", "hi"], "temperature must be"),
        (["chat", "--threads", "0", "hi"], "--threads: threads must be a whole number between 1 and"),
        (["--show-completion", "tcsh"], "unknown shell `tcsh`"),
        (["chat", "a", "b"], "the question has 2 arguments; put it in quotes"),
        (
            ["chat", "-5 plus 3 is?"],
            "No such option '-5'; put text that begins with a dash after `--`, or see",
        ),
        (["inspect", "--one - two"], "put text that begins with a dash after `--`"),
    ],
)
def test_bad_usage_prints_one_sentence_and_exits_with_2(
    run: Run, model: FakeModel, argv: list[str], message: str
) -> None:
    result = run(*argv)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ")
    assert message in result.err
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (errors.BadInput("bad\x1b[31m"), 2, "error: bad\\x1b[31m\n"),
        (errors.BadModelFile("bad file"), 2, "error: bad file\n"),
        (errors.NetworkError("no network"), 1, "error: no network\n"),
        (errors.DiskError("full"), 1, "error: full\n"),
        (MemoryError(), 1, "error: out of memory"),
        (
            OSError(28, "No space left on device", "/x"),
            1,
            "error: not enough space to write /x (No space left",
        ),
        (KeyboardInterrupt(), 130, ""),
        (click.Abort(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (ValueError("oops"), 1, "error: this is a bug in zeropoint (ValueError: oops)"),
    ],
)
def test_an_error_prints_one_sentence_and_sets_the_exit_code(
    run: Run, model: FakeModel, error: BaseException, code: int, message: str
) -> None:
    model.pieces = ["half", error]
    result = run("chat", "hi")
    assert (result.code, result.out) == (code, "half")
    assert result.err.startswith(message)
    assert result.err.count("\n") == (1 if message else 0)
    assert model.is_closed


@pytest.mark.parametrize("variable", [True, False])
def test_a_traceback_needs_verbose_or_debug(
    run: Run, model: FakeModel, monkeypatch: pytest.MonkeyPatch, variable: bool
) -> None:
    model.pieces = [errors.DiskError("full")]
    if variable:
        monkeypatch.setenv("ZEROPOINT_DEBUG", "1")
    for argv in [["chat", "hi"]] if variable else [["-v", "chat", "hi"], ["chat", "hi", "-v"]]:
        result = run(*argv)
        assert "Traceback" in result.err
        assert result.err.endswith("error: full\n")


def test_a_new_command_is_found_by_its_file(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new_one.py").write_text(
        '"""Say hello."""\nimport click\ncommand = click.Command("new-one")\n'
    )
    import zeropoint.cli.commands as package

    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(package.__spec__, "submodule_search_locations", package.__path__)
    assert "new-one" in cli.list_commands(click.Context(cli))
    assert re.search(r"new-one +Say hello\.", run("--help").out)
    assert run("new-one").code == 0
    sys.modules.pop("zeropoint.cli.commands.new_one")


FAKE_MODEL = "from tests.unit.cli.fake_model import run_with_fake_model; run_with_fake_model(*{pieces!r})"


def test_ctrl_c_exits_with_130_and_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAKE_MODEL.format(pieces=["first ", 30.0, "never"]), "chat", "hi"],
        cwd=ROOT,
        preexec_fn=restore_sigint,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.read(6) == "first "  # flushed before the answer is complete
        process.send_signal(2)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def test_a_closed_pipe_exits_silently() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", FAKE_MODEL.format(pieces=["first ", *["more " * 100] * 200]), "chat", "hi"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        process.stdout.read(6)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == 141


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_crash(closed: str) -> None:
    program = FAKE_MODEL.format(pieces=["word"]).replace('"', "'")
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{program}" chat hi {closed}'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "word\n")


def test_debug_and_log_can_be_set_in_a_file(
    run: Run, model: FakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logging_calls: list[dict[str, object]] = []
    monkeypatch.setattr("logging.basicConfig", lambda **arguments: logging_calls.append(arguments))
    model.pieces = [errors.DiskError("full")]
    assert "Traceback" not in run("chat", "hi").err
    assert logging_calls == []
    (tmp_path / "zeropoint.toml").write_text('debug = true\nlog = "info"\n')
    assert "Traceback" in run("chat", "hi").err
    assert [arguments["level"] for arguments in logging_calls] == ["INFO"]
    (tmp_path / "zeropoint.toml").write_text('log = "loud"\n')
    result = run("chat", "hi")
    assert result.code == 2
    assert result.err.startswith("error: zeropoint.toml: `log`: unknown log `loud`")


@pytest.mark.parametrize("error", [FileNotFoundError("gone"), SystemExit(1)])
def test_a_failed_thread_is_reported_on_one_line(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise error

    with app._thread_failures_on_one_line(Console()):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    expected = "a background thread failed (FileNotFoundError: gone)\n"
    assert capsys.readouterr().err == ("" if isinstance(error, SystemExit) else expected)
