"""Settings: flag > environment variable > project TOML > user TOML > default.

The project file is `zeropoint.toml` in the working directory, or `[tool.zeropoint]` in `pyproject.toml`; the
user file is `config.toml` in the platform's configuration folder. Sampling parameters are in the table
`[sampling]` of either file. An unknown key is refused with the closest known one; a bad value is refused with
the file or variable, the key and what it accepts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from zeropoint.engine_options import ENGINE_OPTIONS, EngineOptions
from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen
from zeropoint.options import Option, unescape

__all__ = [
    "KEYS",
    "Key",
    "Setting",
    "Settings",
    "from_text",
    "history_file",
    "ladder_results_file",
    "project_file",
    "user_file",
]

_WHERE_SAMPLING_IS = "; sampling parameters (temperature, ...) belong in the table [sampling]"
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@frozen
class Key:
    """A setting: an option, and the TOML table that holds it ("" for the top level of the file).

    check: replaces the option's own check, for lists.
    """

    option: Option
    table: str = ""
    check: Callable[[Any], Any] | None = None

    @property
    def name(self) -> str:
        """The key in a TOML file; the flag has dashes for underscores."""
        return self.option.name

    @property
    def dotted(self) -> str:
        """The key with its table: "sampling.top_p"."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def env(self) -> str:
        """The environment variable: ZEROPOINT_ and the name in capitals."""
        return f"ZEROPOINT_{self.name.upper()}"


@frozen
class Setting:
    """A value and its source: "flag", "ZEROPOINT_X", a file's path or "default"."""

    key: Key
    value: Any
    source: str


class Settings:
    """Every key with its checked value and the source of that value. Build it with `Settings.read`."""

    def __init__(self, settings: Mapping[str, Setting]) -> None:
        self._settings = dict(settings)

    @classmethod
    def read(
        cls,
        flags: Mapping[str, Any] | None = None,
        *,
        keys: Iterable[Key] = (),
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
        user: Path | None = None,
    ) -> Settings:
        """Read all settings: the keys of this module and `keys` (those of the sampling parameters).

        flags: values from the command line; None means "not set".
        environ, folder (of the project file) and user (file) default to those of this process.
        Raises BadInput naming the file or variable, and the key.
        """
        table = {key.name: key for key in (*KEYS, *keys)}
        environ = os.environ if environ is None else environ
        layers = [_flags(table, flags or {}), _environment(table, environ)]
        layers += [_file(table, path) for path in (project_file(folder), user or user_file()) if path]
        settings = {key.name: Setting(key, key.option.default, "default") for key in table.values()}
        for layer in reversed(layers):
            settings.update(layer)
        return cls(settings)

    def get(self, name: str) -> Setting:
        """The setting of that name: `.value` and `.source`. Raises BadInput for an unknown name."""
        if name not in self._settings:
            raise BadInput(choices("setting", name, self._settings))
        return self._settings[name]

    def __iter__(self) -> Iterator[Setting]:
        return iter(self._settings.values())

    def non_defaults(self, table: str) -> dict[str, Any]:
        """The values of one TOML table that were set anywhere: {name: value}."""
        return {s.key.name: s.value for s in self if s.key.table == table and s.source != "default"}

    def engine_options(self) -> EngineOptions:
        """The engine options. Raises BadInput for options that exclude each other."""
        return EngineOptions(**{option.name: self.get(option.name).value for option in ENGINE_OPTIONS})


def user_file() -> Path:
    """The user's configuration file, which need not exist."""
    return Path(platformdirs.user_config_dir("zeropoint", appauthor=False)) / "config.toml"


def history_file() -> Path:
    """The file that stores the input history of conversations."""
    return Path(platformdirs.user_state_dir("zeropoint", appauthor=False)) / "history"


def ladder_results_file() -> Path:
    """The file that records the losses of ladders."""
    return Path(platformdirs.user_state_dir("zeropoint", appauthor=False)) / "ladders.jsonl"


def project_file(folder: Path | None = None) -> Path | None:
    """The project file in `folder` (the working directory by default), or None."""
    for name in ("zeropoint.toml", "pyproject.toml"):
        path = Path(name) if folder is None else folder / name
        if path.is_file():
            return path
    return None


def _flags(table: Mapping[str, Key], flags: Mapping[str, Any]) -> dict[str, Setting]:
    return {
        name: Setting(
            table[name],
            _checked(table[name], _flag(table[name], value), f"--{name.replace('_', '-')}"),
            "flag",
        )
        for name, value in flags.items()
        if value is not None
    }


def _flag(key: Key, value: Any) -> Any:
    if not key.option.has_escapes:
        return value
    return unescape(value) if isinstance(value, str) else tuple(map(unescape, value))


def _environment(table: Mapping[str, Key], environ: Mapping[str, str]) -> dict[str, Setting]:
    """An empty variable counts as unset, as for NO_COLOR and in most tools."""
    settings = {}
    for key in table.values():
        text = environ.get(key.env, "")
        if text:
            settings[key.name] = Setting(key, _checked(key, from_text(key.option, text), key.env), key.env)
    return settings


def _file(table: Mapping[str, Key], path: Path) -> dict[str, Setting]:
    """The settings of one TOML file; a missing file sets nothing."""
    try:
        if not path.exists():
            return {}
        from zeropoint.files.toml_text import read_toml  # most starts find no file

        content = read_toml(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    if path.name == "pyproject.toml":
        tool = content.get("tool", {})
        content = tool.get("zeropoint", {}) if isinstance(tool, dict) else {}
    if not isinstance(content, dict):
        raise BadInput(f"{path}: `tool.zeropoint` must be a table; write [tool.zeropoint]")
    return {
        key.name: Setting(key, _checked(key, value, f"{path}: `{key.dotted}`"), str(path))
        for key, value in _flattened(table, content, path)
    }


def _flattened(table: Mapping[str, Key], content: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, Any]]:
    """(key, value) of every entry; skip the table [sampling] where the caller did not pass its keys."""
    tables = {key.table for key in table.values()} | {"sampling"}
    by_dotted = {key.dotted: key for key in table.values()}
    for name, value in content.items():
        is_table = name in tables and isinstance(value, dict)
        if is_table and not any(key.table == name for key in table.values()):
            continue
        entries = {f"{name}.{sub}": item for sub, item in value.items()} if is_table else {name: value}
        for dotted, item in entries.items():
            if dotted not in by_dotted:
                hint = "" if is_table else _WHERE_SAMPLING_IS
                raise BadInput(f"{path}: {choices('key', dotted, by_dotted)}{hint}")
            yield by_dotted[dotted], item


def from_text(option: Option, text: str) -> Any:
    """A typed text in the option's type, or the text itself, for the option's check to refuse."""
    kind = option.type
    if kind is bool:
        return True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            return text
    return unescape(text) if option.has_escapes else text


def _checked(key: Key, value: Any, source: str) -> Any:
    """The checked value, or BadInput that begins with the source of the value."""
    try:
        return (key.check or key.option.check)(value)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None


def _text(name: str, help: str) -> Option:
    return Option(name, str, None, None, None, help)


def _switch(name: str, help: str) -> Option:
    return Option(name, bool, False, None, None, help)


KEYS: tuple[Key, ...] = tuple(
    map(
        Key,
        (
            _text(
                "model",
                "The model: a name (smollm2:135m), a training run (harbour), a path, or hf:owner/repo:q8_0 "
                "from Hugging Face.",
            ),
            _text("home", "Folder for models and everything derived from them."),
            _text("data", "Folder of your own copies of data sets, searched before any download."),
            *ENGINE_OPTIONS,
            _text(
                "accept_licence",
                "Licences whose terms you accept, such as gemma; several are separated by commas.",
            ),
            _switch("offline", "Use only files on this disk."),
            _switch("debug", "Show the traceback of an error."),
            Option(
                "log",
                str,
                "warning",
                None,
                None,
                "Lowest level of log messages on stderr.",
                choices=("debug", "info", "warning", "error"),
            ),
        ),
    )
)
"""The settings of every part of the program; sampling parameters add theirs."""
