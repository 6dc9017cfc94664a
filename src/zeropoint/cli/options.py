"""Command-line options made from what declares them: sampling parameters, settings, their ranges.

An option is never read by click from the environment: `settings.py` alone knows what comes first. The
name of the variable stands in the help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from zeropoint.cli.completion import model_names
from zeropoint.options import Option
from zeropoint.sampling.params import SamplingParams
from zeropoint.sampling.params import options as sampling_options
from zeropoint.settings import KEYS, Key, Settings

__all__ = ["DEFAULTS", "engine", "read", "sampling", "sampling_keys", "sampling_params", "some"]

F = TypeVar("F", bound=Callable[..., Any])
_SHORT = {"model": "-m", "threads": "-t", "context": "-c", "max_tokens": "-n"}
_ENGINE = (
    *("model", "threads", "context", "isa", "exact"),
    *("cache_type", "cache_memory", "window", "sinks"),
)

DEFAULTS: Mapping[str, Any] = {"max_tokens": 1024}
"""Sampling parameters that the command line sets where nobody did: a small model may else repeat itself until
the context is full. In Python there is no budget."""


def engine(command: F) -> F:
    """The options of every command that opens a model: --model, --threads, --context and so on."""
    return some(*_ENGINE)(command)


def some(*names: str) -> Callable[[F], F]:
    """The options of the settings so named."""
    keys = {key.name: key for key in KEYS}

    def decorate(command: F) -> F:
        for name in reversed(names):
            command = _add(command, keys[name])
        return command

    return decorate


def sampling(command: F) -> F:
    """One option for each sampling parameter."""
    for key in reversed(sampling_keys()):
        command = _add(command, key, multiple=key.type is list)
    return command


def sampling_keys() -> list[Key]:
    """The sampling parameters as settings, in the table `[sampling]`."""
    return [_key(option) for option in sampling_options()]


def read(flags: Mapping[str, Any]) -> Settings:
    """All settings, with the values of the options above as flags."""
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    return Settings.read(given, keys=sampling_keys())


def sampling_params(settings: Settings, defaults: Mapping[str, Any]) -> SamplingParams:
    """What was set anywhere, over `defaults` (those of the model), over `DEFAULTS`."""
    return SamplingParams.of(**settings.given("sampling")).with_defaults({**DEFAULTS, **defaults})


def _key(option: Option) -> Key:
    """A list (`stop`) is checked as a whole, by the parameters themselves."""

    def check_list(value: Any) -> Any:
        return SamplingParams.of(**{option.name: value}).flat().get(option.name, ())

    kind = list if option.is_many else option.type
    check = check_list if option.is_many else option.check
    own = DEFAULTS.get(option.name)
    default = "" if option.default in (None, ()) else f" Default: the model's, else {option.default:g}."
    default = default if own is None else f" Default: {own}."
    return Key(option.name, kind, own, f"{option.help}{default}", check, table="sampling")


def _add(command: F, key: Key, multiple: bool = False) -> F:
    flag = f"--{key.name.replace('_', '-')}"
    names = [*([_SHORT[key.name]] if key.name in _SHORT else []), flag]
    if key.type is bool:
        names = [f"{flag}/--no-{key.name.replace('_', '-')}"]
    return click.option(
        *names,
        key.name,
        type=str if multiple else key.type,
        default=None,
        multiple=multiple,
        metavar=None if key.type is bool else {int: "N", float: "X"}.get(key.type, key.name.upper()),
        help=f"{key.help} [env: {key.env}]",
        shell_complete=model_names if key.name == "model" else None,
    )(command)
