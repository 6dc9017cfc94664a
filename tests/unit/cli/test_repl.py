"""The interactive conversation, typed through a pipe that prompt_toolkit treats as a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prompt_toolkit import PromptSession
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from tests.unit.cli.fake_model import FakeModel
from zeropoint.cli import slash
from zeropoint.cli.chat_session import ChatSession
from zeropoint.cli.console import Console
from zeropoint.cli.repl import Repl
from zeropoint.engine.contract import ENDLESS
from zeropoint.engine.session.chat import Conversation
from zeropoint.errors import MachineError
from zeropoint.sampling.params import SamplingParams

CTRL_C, CTRL_D = "\x03", "\x04"
Talk = Callable[..., ChatSession]


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe:
        yield pipe


@pytest.fixture
def talk(keyboard: PipeInput) -> Talk:
    """Type lines into a conversation with a model; Ctrl-D ends it."""

    def talk(*lines: str, model: FakeModel | None = None, system: str | None = None) -> ChatSession:
        keyboard.send_text("".join(line if line == CTRL_C else f"{line}\r" for line in lines) + CTRL_D)
        reader: PromptSession[str] = PromptSession(input=keyboard, output=DummyOutput())
        conversation = Conversation(model or FakeModel(), system)  # type: ignore[arg-type]
        params = SamplingParams.of(temperature=0.25)
        console = Console({})
        console.is_verbose = True
        chat = ChatSession(console, conversation, params)
        Repl(chat, reader).run()
        return chat

    return talk


def test_answers_stream_to_stdout_and_extend_the_conversation(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    chat = talk("one", "", "two")
    assert capsys.readouterr().out == "[one]\n[two]\n"
    assert [m["content"] for m in chat.conversation.messages] == ["one", "[one]", "two", "[two]"]


@pytest.mark.heavy
def test_triple_quotes_span_several_lines(talk: Talk) -> None:
    chat = talk('"""first', "", 'last"""', '"""one line"""')
    assert [m["content"] for m in chat.conversation.messages[::2]] == ["first\n\nlast", "one line"]


def test_exit_ends_the_conversation(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("/exit", "never asked")
    assert capsys.readouterr().out == ""


def test_ctrl_c_clears_the_line(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk(CTRL_C, "one")
    assert capsys.readouterr().out == "[one]\n"


def test_ctrl_c_stops_the_answer_but_not_the_program(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    model = FakeModel(["so", " far", KeyboardInterrupt()])
    chat = talk("one", "two", model=model)
    captured = capsys.readouterr()
    assert captured.out == "so far\nso far\n"
    assert captured.err.count("stopped; /retry generates another answer") == 2
    assert chat.conversation.messages[1]["content"] == "so far"


def test_stats_show_the_answer_that_ctrl_c_stopped(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("one", "/stats", model=FakeModel(["so far", KeyboardInterrupt()]))
    assert "finish_reason\tcancelled" in capsys.readouterr().out.splitlines()


def test_an_error_is_printed_and_the_conversation_continues(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    talk("one", "/nothing", model=FakeModel([MachineError("not a number in block 3")]))
    err = capsys.readouterr().err
    assert "error: not a number in block 3\n" in err
    assert "error: unknown command `/nothing`; expected one of /exit" in err


def test_help_names_every_command(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("/help")
    out = capsys.readouterr().out
    assert [line.split("\t")[0].split()[0] for line in out.splitlines()[:-1]] == [
        "/help,", "/exit,", "/system", "/reset,", "/retry", "/save", "/load", "/stats", "/params", "/set"
    ]  # fmt: skip
    for name in slash.names():
        assert f"/{name}" in out, name


def test_an_unknown_command_names_the_closest(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("/rety", "/stats")
    err = capsys.readouterr().err
    assert "(closest: /retry)" in err
    assert "there is no answer yet" in err


def test_system_reset_and_retry(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    chat = talk("/system", "/system Be kind.", "/system", "one", "/retry", "/clear")
    assert capsys.readouterr().out == "(no system prompt)\nBe kind.\n[one]\n[one]\n"
    assert chat.conversation.messages == [{"role": "system", "content": "Be kind."}]


def test_save_and_load(talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    talk("one", f"/save {tmp_path}/a.json", "/save", "/load none.json")
    err = capsys.readouterr().err
    assert "error: /save needs a file name: /save FILE" in err
    assert "error: there is no file none.json" in err
    assert len(json.loads((tmp_path / "a.json").read_text())["messages"]) == 2


def test_the_name_of_a_file_may_be_quoted(talk: Talk, tmp_path: Path) -> None:
    talk("one", f'/save "{tmp_path}/my chat.json"', f"/load '{tmp_path}/my chat.json'")
    assert (tmp_path / "my chat.json").is_file()


def test_save_overwrites_only_its_own_file(
    talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    talk("one", f"/save {path}", "two", f"/save {path}")
    assert capsys.readouterr().err.count(f"saved to {path}") == 2
    talk("new", f"/save {path}")
    assert f"error: {path} exists; /save! {path} overwrites it\n" in capsys.readouterr().err
    assert len(json.loads(path.read_text())["messages"]) == 4
    talk("new", f"/save! {path}", f"/load {path}", f"/save {path}", "/reset", "newer", f"/save {path}")
    err = capsys.readouterr().err
    assert err.count(f"saved to {path}") == 2
    assert err.count("overwrites it") == 1
    path.unlink()
    talk("new", f"/save {path}")
    assert f"error: {path}.kv exists; /save! {path} overwrites it\n" in capsys.readouterr().err


def test_set_reads_escapes_and_without_arguments_shows_the_parameters(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(r"/set stop \n\n", "/set").params.stop == ("\n\n",)
    assert any(line.startswith("temperature\t0.25\t") for line in capsys.readouterr().out.splitlines())


def test_load_continues_a_saved_conversation(
    keyboard: PipeInput, talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    before = Conversation(FakeModel(), "Be kind.")  # type: ignore[arg-type]
    before.ask("one").text()
    before.save(path)
    model = FakeModel()
    assert talk(f"/load {path}", "two", model=model).conversation.messages[1]["content"] == "one"
    assert model.loaded_cache == tmp_path / "a.json.kv"
    assert f"loaded 1 turn from {path}" in capsys.readouterr().err


def test_set_changes_a_parameter(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    model = FakeModel()
    chat = talk(
        "/set top-k 5",
        "/set temperature 0.5",
        "/set stop END",
        "/set temperature default",
        "one",
        model=model,
    )
    assert model.calls[0][1].flat() == {"temperature": 0.25, "top_k": 5, "stop": ("END",)}
    assert chat.params == model.calls[0][1]
    assert "top_k is now 5" in capsys.readouterr().err


def test_stop_texts_are_shown_as_they_are_typed(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk(r"/set stop \n\\n")
    assert r"stop is now \n\\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("/set temperature 3", "between 0 and 2; got 3.0"),
        ("/set temperature hot", "must be a number between 0 and 2; got 'hot'"),
        ("/set temprature 1", "closest: temperature"),
        ("/set top_k", "/set top_k needs a value: /set top_k VALUE, where VALUE is a whole number"),
    ],
)
def test_a_bad_set_changes_nothing(
    talk: Talk, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    assert talk(line).params == SamplingParams.of(temperature=0.25)
    assert message in capsys.readouterr().err


def test_an_answer_cut_off_at_the_token_limit_is_reported(
    talk: Talk, capsys: pytest.CaptureFixture[str]
) -> None:
    model = FakeModel()
    model.finish_reason_at_end = "length"
    chat = talk("/set max_tokens 2", "one", "/set max_tokens default", "two", model=model)
    cut_off = "the answer was cut off after 2 tokens; /set max_tokens N changes the limit"
    assert capsys.readouterr().err.count(cut_off) == 1
    assert chat.params.max_tokens == 1024


def test_params_and_stats(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("one", "/params", "/stats")
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("temperature\t0.25\t") for line in lines)
    assert "completion_tokens\t2" in lines
    assert "predicted_per_second\t100" in lines


def test_a_full_context_is_reported_before_the_answer(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("one one one one", "two two two two", model=FakeModel(n_ctx=14))
    assert (
        "the context of 14 tokens is full; dropped the oldest question and its answer"
        in capsys.readouterr().err
    )


def test_history_is_stored_in_a_private_file(tmp_path: Path) -> None:
    from zeropoint.cli.repl import _terminal_reader
    from zeropoint.settings import history_file

    reader = _terminal_reader()
    reader.history.append_string("typed before")
    assert "typed before" in history_file().read_text()
    assert history_file().stat().st_mode & 0o077 == 0


def test_a_history_file_that_cannot_be_created_is_replaced_by_memory(tmp_path: Path) -> None:
    from zeropoint.cli.repl import _terminal_reader

    (tmp_path / "zeropoint").write_text("in the way")
    history = _terminal_reader().history
    history.append_string("typed")
    assert history.get_strings() == ["typed"]
    assert (tmp_path / "zeropoint").read_text() == "in the way"


def test_a_history_file_that_becomes_unwritable_keeps_lines_in_memory() -> None:
    from zeropoint.cli.repl import _terminal_reader
    from zeropoint.settings import history_file

    history = _terminal_reader().history
    history_file().unlink()
    history_file().mkdir()
    history.append_string("typed")
    assert history.get_strings() == ["typed"]


def test_an_unlimited_context_is_reported(talk: Talk, capsys: pytest.CaptureFixture[str]) -> None:
    talk("one", model=FakeModel(n_ctx=ENDLESS))
    assert "fake, unlimited context; " in capsys.readouterr().err
