"""What a person has set, and where: flags > environment > project TOML > user TOML > default.

The project file is `zeropoint.toml` in the working directory, or `[tool.zeropoint]` in
`pyproject.toml`; the user's is `config.toml` in the platform's configuration folder. Sampling values
stand in a table `[sampling]` of either. A key nobody knows is refused, with the closest one that
somebody does; a value of the wrong kind is refused with the file and the key.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from zeropoint.errors import BadInput, choices
from zeropoint.frozen import frozen

__all__ = [
    "KEYS",
    "Key",
    "Setting",
    "Settings",
    "check_cache_type",
    "history_file",
    "ladder_results_file",
    "project_file",
    "user_file",
]

_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@frozen
class Key:
    """One thing that can be set.

    type: str, int, float or bool. check: returns the value or raises BadInput saying what is allowed.
    table: the TOML table it stands in ("" for the top of the file).
    """

    name: str
    type: type
    default: Any
    help: str
    check: Callable[[Any], Any] | None = None
    table: str = ""

    @property
    def env(self) -> str:
        """The environment variable: ZEROPOINT_ and the name in capitals."""
        return f"ZEROPOINT_{self.name.upper()}"


@frozen
class Setting:
    """A value and where it comes from: "flag", "ZEROPOINT_X", a file's path or "default"."""

    key: Key
    value: Any
    source: str


class Settings:
    """Every key's value and source, all checked. Build it with `Settings.read`."""

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
        """Collect all settings: the keys of this module and `keys` (those of the sampling parameters).

        flags: values given on the command line; None means "not given".
        environ, folder (of the project file) and user (its file) are the process's own by default.
        Raises BadInput naming the file or variable, and the key.
        """
        table = {key.name: key for key in (*KEYS, *keys)}
        environ = os.environ if environ is None else environ
        layers = [_flags(table, flags or {}), _environment(table, environ)]
        layers += [_file(table, path) for path in (project_file(folder), user or user_file()) if path]
        found = {key.name: Setting(key, key.default, "default") for key in table.values()}
        for layer in reversed(layers):
            found.update(layer)
        return cls(found)

    def get(self, name: str) -> Setting:
        """The setting of that name: `.value` and `.source`."""
        if name not in self._settings:
            raise BadInput(choices("setting", name, self._settings))
        return self._settings[name]

    def __iter__(self) -> Any:
        return iter(self._settings.values())

    def given(self, table: str) -> dict[str, Any]:
        """The values of one TOML table that were set anywhere: {name: value}."""
        return {s.key.name: s.value for s in self if s.key.table == table and s.source != "default"}


def user_file() -> Path:
    """The user's own configuration file, which need not exist."""
    return Path(platformdirs.user_config_dir("zeropoint", appauthor=False)) / "config.toml"


def history_file() -> Path:
    """Where the lines typed in conversations are kept."""
    return Path(platformdirs.user_state_dir("zeropoint", appauthor=False)) / "history"


def ladder_results_file() -> Path:
    """The file that records the losses of ladders."""
    return Path(platformdirs.user_state_dir("zeropoint", appauthor=False)) / "ladders.jsonl"


def project_file(folder: Path | None = None) -> Path | None:
    """The project's file in `folder` (the working directory by default), or None."""
    for name in ("zeropoint.toml", "pyproject.toml"):
        path = Path(name) if folder is None else folder / name
        if path.is_file():
            return path
    return None


def _flags(table: Mapping[str, Key], flags: Mapping[str, Any]) -> dict[str, Setting]:
    return {
        name: Setting(table[name], _checked(table[name], value, f"--{name.replace('_', '-')}"), "flag")
        for name, value in flags.items()
        if value is not None
    }


def _environment(table: Mapping[str, Key], environ: Mapping[str, str]) -> dict[str, Setting]:
    """An empty variable counts as not set, as NO_COLOR and most tools have it."""
    found = {}
    for key in table.values():
        text = environ.get(key.env, "")
        if text:
            found[key.name] = Setting(key, _checked(key, _from_text(key, text), key.env), key.env)
    return found


def _file(table: Mapping[str, Key], path: Path) -> dict[str, Setting]:
    """The settings of one TOML file; a file that is absent sets nothing."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}") from None
    if path.name == "pyproject.toml":
        content = content.get("tool", {}).get("zeropoint", {})
    found = {}
    for name, value, where in _flattened(table, content, path):
        found[name] = Setting(table[name], _checked(table[name], value, f"{path}: `{where}`"), str(path))
    return found


def _flattened(
    table: Mapping[str, Key], content: Mapping[str, Any], path: Path
) -> Iterable[tuple[str, Any, str]]:
    """(name, value, dotted key) of every entry; a table whose keys are not ours to read is passed over."""
    tables = {key.table for key in table.values()} | {"sampling"}
    for name, value in content.items():
        inner = value.items() if name in tables and isinstance(value, dict) else [(None, value)]
        home = name if name in tables and isinstance(value, dict) else ""
        allowed = [key.name for key in table.values() if key.table == home]
        if not allowed:
            continue
        for sub, item in inner:
            key = sub or name
            if key not in allowed:
                raise BadInput(f"{path}: {choices('key', f'{home}.{key}'.lstrip('.'), _dotted(table))}")
            yield key, item, f"{home}.{key}".lstrip(".")


def _dotted(table: Mapping[str, Key]) -> list[str]:
    return [f"{key.table}.{key.name}".lstrip(".") for key in table.values()]


def _from_text(key: Key, text: str) -> Any:
    """An environment variable's text in the key's type, or the text itself for `_checked` to refuse."""
    if key.type is bool:
        return True if text.lower() in _TRUE else False if text.lower() in _FALSE else text
    if key.type in (int, float):
        try:
            return key.type(text)
        except ValueError:
            return text
    return text


def _checked(key: Key, value: Any, where: str) -> Any:
    """The value, or BadInput starting with `where` it was set."""
    if key.check is not None:
        try:
            return key.check(value)
        except BadInput as error:
            raise BadInput(f"{where}: {error}") from None
    if key.type is bool and not isinstance(value, bool):
        raise BadInput(f"{where} must be true or false (1 or 0 in the environment); got {value!r}")
    if key.type is str and not isinstance(value, str):
        raise BadInput(f"{where} must be a text; got {value!r}")
    return value


def _at_least(name: str, minimum: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
            raise BadInput(f"{name} must be a whole number, at least {minimum}; got {value!r}")
        return value

    return check


def _one_of(
    name: str, allowed: tuple[str, ...], became: Mapping[str, str] | None = None
) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in allowed:
            raise BadInput(choices(name, value, allowed, became))
        return str(value)

    return check


check_cache_type = _one_of("cache_type", ("int16", "f16", "int8"), {"bf16": "int16"})
"""Returns the type of a cache, or raises BadInput saying which there are."""


KEYS: tuple[Key, ...] = (
    Key("model", str, None, "Model: a catalogue name, a path, or hf:owner/repo[:quant]."),
    Key("home", str, None, "Folder for models and everything derived from them."),
    Key("data", str, None, "Folder of your own copies of data sets, looked in before any download."),
    Key(
        "threads",
        int,
        None,
        "Threads of the engine; one per usable core by default.",
        _at_least("threads", 1),
    ),
    Key("context", int, None, "Most tokens a conversation may hold.", _at_least("context", 1)),
    Key("isa", str, None, "Instruction set to force: scalar, avx2, avx512, neon or neon_dotprod."),
    Key("exact", bool, False, "Exact arithmetic: activations are never quantised. Slower."),
    Key(
        "cache_type",
        str,
        None,
        "Numbers of the key/value cache: int16, f16, which is slower, or int8 with half the memory.",
        check_cache_type,
    ),
    Key(
        "cache_memory",
        int,
        None,
        "Most megabytes of all caches together; half of what is free by default.",
        _at_least("cache_memory", 1),
    ),
    Key(
        "window",
        int,
        None,
        "Positions a text keeps in the cache, so that it can go on without end.",
        _at_least("window", 1),
    ),
    Key("sinks", int, None, "Of a window, positions of the start that stay; 4.", _at_least("sinks", 0)),
    Key("template", str, None, "Chat template by name (chatml, llama3, ...) instead of the model's own."),
    Key("offline", bool, False, "Use only what is on this disk."),
    Key("debug", bool, False, "Show the traceback of an error."),
    Key(
        "log",
        str,
        "warning",
        "Least severe message of the log on stderr.",
        _one_of("log", ("debug", "info", "warning", "error")),
    ),
)
"""The keys that every part of the program knows; sampling parameters add theirs."""
