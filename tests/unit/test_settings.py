"""Who wins between flag, environment, project and user file, and what a mistake looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from zeropoint.errors import BadInput
from zeropoint.options import Option
from zeropoint.settings import KEYS, Key, Settings

TEMPERATURE = Key(Option("temperature", float, None, 0, 2, "help"), "sampling")


def read(tmp_path: Path, project: str = "", user: str = "", **kw: object) -> Settings:
    (tmp_path / "zeropoint.toml").write_text(project)
    (tmp_path / "user.toml").write_text(user)
    kw.setdefault("environ", {})
    return Settings.read(folder=tmp_path, user=tmp_path / "user.toml", **kw)  # type: ignore[arg-type]


def test_default_when_nothing_is_set(tmp_path: Path) -> None:
    for setting in Settings.read(environ={}, folder=tmp_path, user=tmp_path / "none.toml"):
        assert (setting.value, setting.source) == (setting.key.option.default, "default")


@pytest.mark.parametrize(
    ("flags", "environ", "project", "user", "value", "source"),
    [
        ({"threads": 1}, {"ZEROPOINT_THREADS": "2"}, "threads = 3", "threads = 4", 1, "flag"),
        ({"threads": None}, {"ZEROPOINT_THREADS": "2"}, "threads = 3", "threads = 4", 2, "ZEROPOINT_THREADS"),
        ({}, {"ZEROPOINT_THREADS": ""}, "threads = 3", "threads = 4", 3, "zeropoint.toml"),
        ({}, {}, "", "threads = 4", 4, "user.toml"),
    ],
)
def test_the_nearer_source_wins(
    tmp_path: Path,
    flags: dict[str, object],
    environ: dict[str, str],
    project: str,
    user: str,
    value: int,
    source: str,
) -> None:
    setting = read(tmp_path, project, user, flags=flags, environ=environ).get("threads")
    assert (setting.value, Path(setting.source).name) == (value, source)


def test_pyproject_table_counts_as_the_project_file(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.zeropoint]\nmodel = "m"\n')
    settings = Settings.read(environ={}, folder=tmp_path, user=tmp_path / "none.toml")
    assert settings.get("model").value == "m"


@pytest.mark.parametrize(
    ("project", "said"),
    [
        ("thread = 3", ["zeropoint.toml", "unknown key `thread`", "closest: threads"]),
        ("threads = 0", ["zeropoint.toml: `threads`", "between 1 and 1024"]),
        ("threads = true", ["zeropoint.toml: `threads`", "True"]),
        ("model = 3", ["zeropoint.toml: `model`", "text"]),
        ("model = {a = 1}", ["zeropoint.toml: `model`", "text"]),
        ("exact = 1", ["zeropoint.toml: `exact`", "true or false"]),
        ('log = "loud"', ["zeropoint.toml: `log`", "expected one of debug"]),
        (
            "[sampling]\ntemprature = 1",
            ["unknown key `sampling.temprature`", "closest: sampling.temperature"],
        ),
        ("sampling = 3", ["unknown key `sampling`"]),
        ("temperature = 1", ["unknown key `temperature`", "sampling.temperature"]),
        ("a = [", ["zeropoint.toml is not valid TOML"]),
    ],
)
def test_a_mistake_names_file_and_key(tmp_path: Path, project: str, said: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        read(tmp_path, project, keys=[TEMPERATURE])
    for part in said:
        assert part in str(caught.value)


def test_sampling_table_is_left_to_those_who_know_its_keys(tmp_path: Path) -> None:
    project = "[sampling]\ntemperature = 0.5"
    assert read(tmp_path, project).non_defaults("sampling") == {}
    assert read(tmp_path, project, keys=[TEMPERATURE]).non_defaults("sampling") == {"temperature": 0.5}


def test_a_sampling_parameter_outside_its_table_is_told_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"sampling parameters \(temperature, \.\.\.\) belong in the table \[sampling\]"
    ):
        read(tmp_path, "temperature = 0.5")


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("off", False)])
def test_a_boolean_in_the_environment(tmp_path: Path, text: str, value: bool) -> None:
    assert read(tmp_path, environ={"ZEROPOINT_OFFLINE": text}).get("offline").value is value


@pytest.mark.parametrize("variable", ["ZEROPOINT_THREADS", "ZEROPOINT_OFFLINE"])
def test_a_bad_variable_is_named(tmp_path: Path, variable: str) -> None:
    with pytest.raises(BadInput, match=variable):
        read(tmp_path, environ={variable: "many"})


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="closest: threads"):
        read(tmp_path).get("thread")


def test_every_key_says_what_it_is() -> None:
    assert all(key.option.help.endswith(".") and key.env == f"ZEROPOINT_{key.name.upper()}" for key in KEYS)
