"""Settings, configurations and blueprints with hostile content: each is refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.limited import run_limited
from zeropoint.engine.session import chat_history
from zeropoint.errors import BadInput
from zeropoint.families import zeropoint as own_family
from zeropoint.settings import Settings
from zeropoint.train.config.config import ModelConfig
from zeropoint.train.config.io import read_config
from zeropoint.train.config.validate import check
from zeropoint.train.run.build_model import blueprint_of

BOMB = "x" + ".x" * 20_000 + " = 1\n"  # tomllib takes 1.5 GB for it


def refusal(action: Any) -> str:
    with pytest.raises(BadInput) as error:
        action()
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 2000
    return message


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BOMB, "a key has more than 32 parts"),
        ("threads = nan", "`threads`"),
        ("threads = 1979-05-27", "`threads`"),
        ("threads = " + "9" * 200, "`threads`"),
        ("threads = " + "9" * 5000, "more than 256 characters"),
        ("context = -5", "`context`"),
        ("threads = [[1]]", "`threads`"),
        ("model = { a = 1 }", "`model`"),
        (f"'{'k' * 100_000}' = 1", "unknown key `kkk"),
        ("offline = 'maybe'", "`offline`"),
        ("\n".join(f"k{i} = 1" for i in range(60_000)), "more than 100,000 keys"),
        ("a = 1\na = 2", "Cannot overwrite a value"),
    ],
)
def test_a_setting_is_refused_with_its_file_and_key(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "user.toml"
    path.write_text(content)
    message = refusal(lambda: Settings.read(environ={}, folder=tmp_path, user=path))
    assert str(path) in message
    assert problem in message


@pytest.mark.parametrize("content", ["tool = 5", "[tool]\nother = 1", ""])
def test_a_project_without_our_table_sets_nothing(content: str, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(content)
    Settings.read(environ={}, folder=tmp_path, user=tmp_path / "none.toml")
    (tmp_path / "pyproject.toml").write_text("[tool]\nzeropoint = 5")
    assert "[tool.zeropoint]" in refusal(lambda: Settings.read(environ={}, folder=tmp_path))


def test_a_settings_file_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "user.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("user.toml", "zero.toml"):
        assert name in refusal(
            lambda name=name: Settings.read(environ={}, folder=tmp_path, user=tmp_path / name)
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("THREADS", "-1"),
        ("THREADS", "1e3"),
        ("CONTEXT", "nan"),
        ("DEBUG", "maybe"),
        ("LOG", "loud"),
        ("THREADS", "9" * 5000),
    ],
)
def test_an_environment_variable_is_refused_by_name(name: str, value: str, tmp_path: Path) -> None:
    message = refusal(lambda: Settings.read(environ={f"ZEROPOINT_{name}": value}, folder=tmp_path))
    assert message.startswith(f"ZEROPOINT_{name}: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BOMB, "a key has more than 32 parts"),
        ("[model]\nn_layers = 1979-05-27", "`model.n_layers`"),
        ("[train]\nbatch_size = -3", "train.batch_size"),
        ("[optimizer]\nlearning_rate = nan", "optimizer.learning_rate"),
        ("[optimizer]\nlearning_rate = inf", "optimizer.learning_rate"),
        ("train = 5", "`train`"),
        ("[optimizer]\nkind = ['adamw']", "optimizer.kind"),
        (f"[data]\n'{'k' * 100_000}' = 1", "unknown key `data.kkk"),
    ],
)
def test_a_configuration_is_refused_with_its_file_and_key(content: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(content)
    message = refusal(lambda: check(read_config(path)))
    assert problem in message


def test_a_configuration_saved_by_notepad_is_read(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes(b'\xef\xbb\xbf[model]\r\nfamily = "gpt2"\r\n')
    assert read_config(path).model.family == "gpt2"


def test_a_blueprint_bomb_is_refused(tmp_path: Path) -> None:
    model = SimpleNamespace(name="m.gguf", get_str=lambda key: BOMB)
    assert "metadata `zeropoint.blueprint`" in refusal(lambda: own_family.from_gguf(model))
    for name, content in (("bomb.toml", BOMB), ("fifo.toml", None), ("missing.toml", "")):
        path = tmp_path / name
        if content is None:
            os.mkfifo(path)
        elif content:
            path.write_text(content)
        assert name in refusal(lambda path=path: blueprint_of(ModelConfig(blueprint=str(path)), 100))


@pytest.mark.process
def test_a_bomb_on_the_command_line_stays_within_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb.toml").write_text(BOMB)
    command = ["-m", "zeropoint", "train", "--config", "bomb.toml", "--out", "run"]
    child = run_limited(command, max_bytes=1 << 30, folder=tmp_path)
    assert (child.returncode, child.stdout) == (2, "")
    assert child.stderr == "error: bomb.toml is not valid TOML: a key has more than 32 parts (at line 1)\n"


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"messages":' * 200 + "1" + "}" * 200, "NaN", '{"a":1,"a":2}', "9" * 5000, "\0", ""],
)
def test_a_conversation_of_hostile_json_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.json"
    path.write_text(content)
    assert "chat.json" in refusal(lambda: chat_history.read(path))
