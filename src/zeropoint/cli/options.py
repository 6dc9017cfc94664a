"""Derive command-line flags from the declared options: engine options, settings, sampling parameters.

Click never reads environment variables: `settings.py` alone decides precedence. The help names the variable.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from zeropoint.cli import help_page
from zeropoint.cli.names import setting_values
from zeropoint.engine_options import ENGINE_OPTIONS
from zeropoint.options import Option
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.params import options as sampling_options
from zeropoint.sampling.recommended import CHAT_DEFAULTS
from zeropoint.settings import KEYS, Key, Settings

__all__ = ["DEFAULTS", "engine", "read", "sampling", "sampling_keys", "sampling_params", "some"]

F = TypeVar("F", bound=Callable[..., Any])
_EVERYDAY = ("model", "max_tokens")
_SHORT = {"model": "-m", "threads": "-t", "context": "-c", "max_tokens": "-n"}
_CHAT_ONLY = "template"
# In the order of the help; other sampling parameters follow.
_FIRST = ("max_tokens", "temperature", "seed", "stop", "top_p", "top_k", "min_p")
_METAVARS = {int: "N", float: "X", str: "TEXT"}
_SPECIAL_METAVARS = {"model": "MODEL", "template": "NAME"}

DEFAULTS: Mapping[str, Any] = {**CHAT_DEFAULTS, "max_tokens": 1024, "stop_repetition": True}
"""Sampling defaults of the command line, where the model's publisher recommends nothing. Without the
last two, a small model may repeat itself until the context is full; the Python interface lacks them."""


def engine(command: F) -> F:
    """Add --model and every engine option except `--template`, which only `chat` has."""
    return some("model", *(o.name for o in ENGINE_OPTIONS if o.name != _CHAT_ONLY))(command)


def some(*names: str) -> Callable[[F], F]:
    """Add the flags of the named settings."""
    keys = {key.name: key for key in KEYS}

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _add(command, keys[name])
        return command

    return decorate


def sampling(command: F) -> F:
    """Add one flag for each sampling parameter."""
    for key in reversed(sampling_keys()):
        command = _add(command, key)
    return command


def sampling_keys() -> list[Key]:
    """The sampling parameters as settings, in the table `[sampling]`, those that people change most first."""
    ranks = {name: rank for rank, name in enumerate(_FIRST)}
    ordered = sorted(sampling_options(), key=lambda option: ranks.get(option.name, len(ranks)))
    return [_key(option) for option in ordered]


def read(flags: Mapping[str, Any]) -> Settings:
    """All settings, with the flags of a command on top."""
    set_flags = {name: value for name, value in flags.items() if value not in (None, ())}
    return Settings.read(set_flags, keys=sampling_keys())


def sampling_params(settings: Settings, defaults: Mapping[str, Any]) -> SamplingParams:
    """The sampling parameters: settings, then `defaults` (those of the model), then `DEFAULTS`."""
    return SamplingParams.of(**settings.non_defaults("sampling")).with_defaults({**DEFAULTS, **defaults})


def _key(option: Option) -> Key:
    """A list (`stop`) is checked by the sampling parameters themselves."""

    def check_list(value: Any) -> Any:
        return SamplingParams.of(**{option.name: value}).flat().get(option.name, ())

    default = DEFAULTS.get(option.name, option.default)
    is_the_models = option.default not in (None, ())
    if is_the_models:
        note = f" Default: the model's, else {default:g}."
    else:
        note = "" if default in (None, ()) else f" Default: {'on' if default is True else default}."
    declared = dataclasses.replace(
        option, default=None if is_the_models else default, help=f"{option.help}{note}"
    )
    return Key(declared, "sampling", check_list if option.is_many else None)


def _add(command: F, key: Key) -> F:
    """The flag of a setting."""
    option = key.option
    flag = f"--{key.name.replace('_', '-')}"
    names = [*([_SHORT[key.name]] if key.name in _SHORT else []), flag]
    if option.type is bool:
        names = [f"{flag}/--no-{key.name.replace('_', '-')}"]
    group = "Sampling" if key.table == "sampling" else "Engine"
    metavar = option.unit or ("NAME" if option.choices else _METAVARS.get(option.type))
    return help_page.option(
        *names,
        key.name,
        group=help_page.EVERYDAY if key.name in _EVERYDAY else group,
        variable=key.env,
        type=option.type,
        default=None,
        multiple=option.is_many,
        metavar=None if option.type is bool else _SPECIAL_METAVARS.get(key.name, metavar),
        help=option.help,
        shell_complete=setting_values(option),
    )(command)
