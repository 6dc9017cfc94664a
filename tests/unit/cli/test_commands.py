"""`zeropoint chat`, `generate` and `config`: input, output streams, settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.cli.fake_model import FakeModel
from zeropoint.engine.session.logprobs import TokenLogprob
from zeropoint.tokenizers.chat.reply.events import Reasoning


@pytest.mark.parametrize(
    ("argv", "stdin", "prompt"),
    [
        (["hi"], b"", "hi"),
        ([], b"piped\n", "piped"),
        (["-"], b"piped\n", "piped"),
        (["question"], b"piped\r\n", "piped\n\nquestion"),
        (["question"], "\ufeffgrün\n".encode(), "grün\n\nquestion"),
    ],
)
@pytest.mark.parametrize("command", ["chat", "generate"])
def test_stdout_has_the_answer_and_nothing_else(
    run: Run, model: FakeModel, command: str, argv: list[str], stdin: bytes, prompt: str
) -> None:
    result = run(command, *argv, stdin=stdin)
    assert (result.code, result.out, result.err) == (0, f"[{prompt}]\n", "")
    received = model.calls[0][0]
    assert received == (prompt if command == "generate" else [{"role": "user", "content": prompt}])
    assert model.is_closed


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_empty_input_is_bad_usage(run: Run, model: FakeModel, command: str) -> None:
    for argv in ([], [""], ["-"]):
        result = run(command, *argv)
        assert (result.code, result.out) == (2, "")
        assert "pass it as an argument or on stdin" in result.err
    assert model.loaded_with == {}


def test_invalid_utf_8_on_stdin_is_bad_input(run: Run, model: FakeModel) -> None:
    result = run("chat", stdin=b"ok\xff")
    assert (result.code, "not valid UTF-8 (byte 2)" in result.err) == (2, True)


def test_system_prompt(run: Run, model: FakeModel) -> None:
    run("chat", "--system", "Be brief.", "hi")
    assert [message["role"] for message in model.calls[0][0]] == ["system", "user"]


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_json_is_one_object(run: Run, model: FakeModel, command: str) -> None:
    result = run(command, "--json", "hi")
    assert json.loads(result.out) == {
        "text": "[hi]",
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "cached_tokens": 0},
        "finish_reason": "stop",
        "timings": {"predicted_n": 3, "predicted_ms": 20.0},
    }
    assert result.out.count("\n") == 1


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_logprobs_are_part_of_the_json_on_request(run: Run, model: FakeModel, command: str) -> None:
    model.logprobs = [TokenLogprob(7, "hi", b"hi", -0.5, [TokenLogprob(8, "\ufffd", b"\xff", -0.1)])]
    result = run(command, "--json", "--top-logprobs", "1", "hi")
    assert model.logprob_arguments == {"logprobs": True, "top_logprobs": 1, "guide": None}
    top = {"id": 8, "token": "\ufffd", "bytes": [255], "logprob": -0.1}
    entry = {"id": 7, "token": "hi", "bytes": [104, 105], "logprob": -0.5, "top_logprobs": [top]}
    assert json.loads(result.out)["logprobs"] == {"content": [entry]}
    run(command, "--json", "--logprobs", "hi")
    assert model.logprob_arguments == {"logprobs": True, "top_logprobs": 0, "guide": None}
    assert "add --json" in run(command, "--logprobs", "hi").err


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_an_answer_that_repeats_itself_is_stopped_and_reported(
    run: Run, model: FakeModel, command: str
) -> None:
    model.finish_reason_at_end = "repetition"
    warning = "the answer was stopped because it repeats itself; --no-stop-repetition lets it continue"
    assert run(command, "hi").err.startswith(warning)
    assert [params.stop_repetition for _, params in model.calls] == [True]
    run(command, "hi", "--no-stop-repetition")
    assert model.calls[-1][1].stop_repetition is False


def test_an_answer_with_a_final_newline_gets_no_second_one(run: Run, model: FakeModel) -> None:
    model.pieces = ["line\n"]
    assert run("chat", "hi").out == "line\n"


def test_control_characters_pass_through_a_pipe(run: Run, model: FakeModel) -> None:
    model.pieces = ["\x1b[31m"]
    assert run("chat", "hi").out == "\x1b[31m\n"


@pytest.mark.usefixtures("terminal")
def test_control_characters_are_escaped_on_a_terminal(run: Run, model: FakeModel) -> None:
    model.pieces = ["a\x1b[31m\u202eb\tc\nd"]
    assert run("chat", "hi").out == "a\\x1b[31m\\u202eb\tc\nd\n"


def test_flags_override_settings_and_settings_the_model(run: Run, model: FakeModel, tmp_path: Path) -> None:
    (tmp_path / "zeropoint.toml").write_text('model = "m"\nthreads = 3\n[sampling]\ntop_k = 7\ntop_p = 0.5\n')
    run("chat", "hi", "--top-p", "0.9", "--stop", "a", "--stop", "b", "--context", "64", "--exact")
    assert model.calls[0][1].flat() == {
        "top_p": 0.9,  # the flag
        "stop": ("a", "b"),
        "top_k": 7,  # the settings file
        "temperature": 0.25,  # the model
        "min_p": 0.05,  # the built-in default
        "max_tokens": 1024,
        "stop_repetition": True,
    }
    expected = {"name": "m", "threads": 3, "context": 64, "isa": None, "exact": True}
    assert {name: model.loaded_with[name] for name in expected} == expected


def test_stop_sequences_from_a_shell_have_escapes(
    run: Run, model: FakeModel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run("generate", "hi", "--stop", r"\n\n", "--stop", r"\\n\d\\", "--stop", r"\r\t\u00e9 é")
    monkeypatch.setenv("ZEROPOINT_STOP", r"\n\n")
    run("chat", "hi")
    monkeypatch.delenv("ZEROPOINT_STOP")
    (tmp_path / "zeropoint.toml").write_text("[sampling]\nstop = ['\\n']\n")  # TOML has escapes of its own
    run("chat", "hi")
    assert [params.stop for _, params in model.calls] == [
        ("\n\n", "\\n\\d\\", "\r\t\\u00e9 é"),
        ("\n\n",),
        ("\\n",),
    ]


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_an_answer_cut_off_at_the_token_limit_is_reported(run: Run, model: FakeModel, command: str) -> None:
    model.finish_reason_at_end = "length"
    assert run(command, "hi").err == ""  # 2 of 1024 tokens: the context was full, which the engine reports
    assert [params.max_tokens for _, params in model.calls] == [1024]
    warning = "the answer was cut off after 2 tokens; --max-tokens N changes the limit\n"
    result = run(command, "-n", "2", "hi")
    assert (result.code, result.out, result.err) == (0, "[hi]\n", warning)
    assert run(command, "-n", "2", "-q", "hi").err == ""
    model.finish_reason_at_end = "stop"
    assert run(command, "-n", "2", "hi").err == ""


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_more_threads_than_processors_get_a_warning(
    run: Run, model: FakeModel, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("zeropoint.engine.machine.default_threads", lambda: 4)
    warning = "threads is 5, which is slower than 4, the number of processors that this process may use\n"
    assert run(command, "hi", "--threads", "5").err == warning
    assert run(command, "hi", "--threads", "5", "-q").err == ""
    assert run(command, "hi", "--threads", "4").err == ""
    assert model.loaded_with["threads"] == 4


def test_config_shows_the_default_token_limit(run: Run) -> None:
    assert "sampling.max_tokens\t1024\tdefault" in run("config").out.splitlines()


def test_the_default_model_comes_from_the_catalogue(run: Run, model: FakeModel) -> None:
    from zeropoint.catalogue import catalog

    run("chat", "hi")
    assert model.loaded_with["name"] == catalog.default().name


@pytest.mark.parametrize("command", ["chat", "generate"])
def test_notices_about_an_answer_also_appear_in_a_pipe(run: Run, model: FakeModel, command: str) -> None:
    model.notices = ["context is full"]
    assert run(command, "hi").err == "context is full\n"
    assert run(command, "-q", "hi").err == ""


@pytest.mark.usefixtures("terminal")
def test_notices_on_a_terminal(run: Run, model: FakeModel) -> None:
    model.notices = ["context is full"]
    assert run("--no-color", "chat", "hi").err == "context is full\n"
    assert run("chat", "hi", "--no-color").err == "context is full\n"
    assert run("chat", "hi").err == "\x1b[2mcontext is full\x1b[0m\n"
    assert run("chat", "-q", "hi").err == ""


def test_config_shows_value_and_source(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZEROPOINT_THREADS", "2")
    (tmp_path / "zeropoint.toml").write_text("[sampling]\ntop_k = 7\n")
    lines = run("config").out.splitlines()
    assert "threads\t2\tZEROPOINT_THREADS" in lines
    assert "sampling.top_k\t7\tzeropoint.toml" in lines
    assert "exact\tFalse\tdefault" in lines
    shown = json.loads(run("config", "--json").out)
    assert shown["threads"] == {"value": 2, "source": "ZEROPOINT_THREADS"}


def test_config_rejects_an_unknown_key(run: Run, tmp_path: Path) -> None:
    (tmp_path / "zeropoint.toml").write_text("[sampling]\ntopk = 7\n")
    result = run("config")
    assert result.code == 2
    assert "zeropoint.toml: unknown key `sampling.topk`" in result.err
    assert "closest: sampling.top_k" in result.err


def test_reasoning_is_in_the_json_and_not_in_a_pipe(run: Run, model: FakeModel) -> None:
    model.pieces = [Reasoning("hm, "), Reasoning("yes"), "Yes", "."]
    assert run("chat", "hi").out == "Yes.\n"
    content = json.loads(run("chat", "--json", "hi").out)
    assert (content["text"], content["reasoning"]) == ("Yes.", "hm, yes")


@pytest.mark.parametrize(("flags", "thinking"), [((), None), (("--think",), True), (("--no-think",), False)])
def test_reasoning_can_be_switched(
    run: Run, model: FakeModel, flags: tuple[str, ...], thinking: bool | None
) -> None:
    run("chat", *flags, "hi")
    assert model.thinking is thinking
