"""Engine options: every surface derives from the one declaration."""

from __future__ import annotations

import dataclasses
from typing import Any, get_type_hints

import pytest

import zeropoint
from zeropoint import _native
from zeropoint.cli import options as flags
from zeropoint.engine_options import ENGINE_OPTIONS, EngineKeywords, EngineOptions
from zeropoint.errors import BadInput
from zeropoint.settings import KEYS, Settings


def test_keywords_are_the_fields() -> None:
    """The keywords of `load` have the fields' types; each may also be None, which leaves an option alone."""
    fields = get_type_hints(EngineOptions)
    assert {name: kind | None for name, kind in fields.items()} == get_type_hints(EngineKeywords)
    assert [option.name for option in ENGINE_OPTIONS] == list(fields)


def test_limits_are_those_of_the_engine() -> None:
    threads = next(option for option in ENGINE_OPTIONS if option.name == "threads")
    assert threads.maximum == _native.MAX_THREADS


def test_every_option_is_a_setting_a_flag_and_in_the_help() -> None:
    settings = {key.name: key.option for key in KEYS}

    @flags.engine
    @flags.some("template")
    def command() -> None: ...

    params = {param.name for param in command.__click_params__}  # type: ignore[attr-defined]
    for option in ENGINE_OPTIONS:
        assert settings[option.name] == option
        assert option.name in params
        assert f"{option.name}: {option.help}" in (zeropoint.load.__doc__ or "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threads": 0}, "threads must be a whole number between 1 and 1024; got 0"),
        ({"threads": 1025}, "threads must be .* between 1 and 1024; got 1025"),
        ({"context": True}, "context must be a whole number at least 1; got True"),
        ({"exact": 1}, "exact must be true or false; got 1"),
        ({"isa": "avx1024"}, "isa `avx1024`; expected one of auto, .*avx512"),
        ({"cache_type": "int4"}, "cache_type `int4`; expected one of f16, int16, int8 .closest: int"),
        ({"cache_memory": 0}, "cache_memory must be a whole number of MB at least 1; got 0"),
        ({"exact": True, "cache_type": "int8"}, "float32, not int8; leave out `cache_type`"),
        ({"sinks": 3}, "set `window` too"),
    ],
)
def test_a_value_that_is_not_allowed_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        EngineOptions(**options)


def test_updating_replaces_what_is_not_none() -> None:
    options = EngineOptions(threads=2, window=256)
    assert options.updated(threads=None, sinks=8) == EngineOptions(threads=2, window=256, sinks=8)
    with pytest.raises(BadInput, match=r"engine option `thread`.*closest: threads"):
        options.updated(thread=2)


def test_settings_give_the_options(tmp_path: Any) -> None:
    (tmp_path / "zeropoint.toml").write_text("threads = 3\nwindow = 256\n")
    settings = Settings.read(environ={"ZEROPOINT_EXACT": "1"}, folder=tmp_path, user=tmp_path / "none.toml")
    assert settings.engine_options() == EngineOptions(threads=3, window=256, exact=True)


def test_options_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EngineOptions().threads = 2  # type: ignore[misc]
