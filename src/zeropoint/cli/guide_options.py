"""Flags that say what an answer must look like: shared by `chat` and `generate`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zeropoint.cli import help_page
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.decoding.guidance.guide import Guide

__all__ = ["options", "take"]

F = TypeVar("F", bound=Callable[..., Any])
_GROUP = "Form of the answer"
_NAMES = ("json_schema", "regex", "grammar", "choices")


def options(command: F) -> F:
    """Add --json-schema, --regex, --grammar and --choices."""
    for decorate in reversed(
        (
            help_page.option(
                "--json-schema",
                group=_GROUP,
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write JSON that the JSON Schema in FILE accepts.",
            ),
            help_page.option(
                "--regex",
                group=_GROUP,
                metavar="PATTERN",
                help=r"Write text that matches a regular expression, as in '[0-9]{4}-[0-9]{2}'.",
            ),
            help_page.option(
                "--grammar",
                group=_GROUP,
                type=click.Path(path_type=Path),
                metavar="FILE",
                help="Write text of the grammar in FILE, in Lark's notation, from the rule `start`.",
            ),
            help_page.option(
                "--choices", group=_GROUP, metavar="TEXT,TEXT", help="Write one of these texts, as in yes,no."
            ),
        )
    ):
        command = decorate(command)
    return command


def take(flags: dict[str, Any]) -> Guide | None:
    """Remove these flags and return the guide that they ask for. Raises BadInput."""
    given = {name: value for name in _NAMES if (value := flags.pop(name)) is not None}
    if not given:
        return None
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise BadInput(f"{names} exclude each other; give one of them")
    from zeropoint.decoding.guidance.guide import Guide  # here: plain answers need none

    name, value = given.popitem()
    if name == "json_schema":
        return Guide.json_schema(_read(value))
    if name == "grammar":
        return Guide.lark(_read(value))
    return Guide.regex(value) if name == "regex" else Guide.choices(value.split(","))


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}") from None
