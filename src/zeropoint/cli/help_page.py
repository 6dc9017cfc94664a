"""Help pages: options in named groups, common ones first.

An option declares its group: `help_page.option("--steer", group="Change the model", help=...)`. Options
without a group are the command's everyday ones and come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = [
    "EVERYDAY",
    "EVERY_COMMAND",
    "Command",
    "Group",
    "Option",
    "group_of",
    "grouped_options",
    "help_record",
    "option",
]

F = TypeVar("F", bound=Callable[..., Any])
EVERYDAY, EVERY_COMMAND = "Options", "Every command"
_LAST = ("Sampling", "Engine", EVERY_COMMAND)  # many options each, so after the command's own


class Option(click.Option):
    """An option with a group, and the environment variable that sets it too (None for none).

    Click does not read the variable: `settings.py` decides which source wins.
    """

    def __init__(
        self, *args: Any, group: str = EVERYDAY, variable: str | None = None, **keywords: Any
    ) -> None:
        super().__init__(*args, **keywords)
        self.group = group
        self.variable = variable


def option(*names: str, group: str = EVERYDAY, **keywords: Any) -> Callable[[F], F]:
    """`click.option` with a group."""
    return click.option(*names, cls=Option, group=group, **keywords)


def group_of(parameter: click.Parameter) -> str:
    """The group of an option."""
    if isinstance(parameter, Option):
        return parameter.group
    return EVERY_COMMAND if "--help" in parameter.opts else EVERYDAY


def grouped_options(command: click.Command, ctx: click.Context) -> dict[str, list[click.Option]]:
    """A command's visible options by group, in the order of the help."""
    groups: dict[str, list[click.Option]] = {EVERYDAY: []}
    for parameter in command.get_params(ctx):
        if isinstance(parameter, click.Option) and not parameter.hidden:
            groups.setdefault(group_of(parameter), []).append(parameter)
    for name in _LAST:
        groups[name] = groups.pop(name, [])
    return {name: options for name, options in groups.items() if options}


def help_record(option: click.Option, ctx: click.Context) -> tuple[str, str]:
    """The names and the help of an option. Click's range, as in [1<=x<=1000], becomes [1 to 1000]."""
    names, text = option.get_help_record(ctx) or ("", "")
    text = re.sub(r"(?<=[\[ ])([^\[\] ]+)<=x<=([^\[\]; ]+)", r"\1 to \2", text)
    return names, re.sub(r"(?<=[\[ ])x>=([^\[\]; ]+)", r"at least \1", text)


class Command(click.Command):
    """A command whose help shows its options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)


class Group(click.Group):
    """A group of commands whose help shows its options by group, after its commands."""

    command_class = Command

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_commands(ctx, formatter)
        _write_options(self, ctx, formatter)


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    has_variables = False
    for name, options in grouped_options(command, ctx).items():
        rows = [help_record(option, ctx) for option in options]
        has_variables |= name in ("Sampling", "Engine")
        with formatter.section(name):
            formatter.write_dl(rows)
    if has_variables:
        formatter.write_paragraph()
        formatter.indent()
        formatter.write_text(
            "To keep a setting, write it in zeropoint.toml (threads = 2) or in an environment variable "
            "(ZEROPOINT_THREADS=2); `zeropoint config` lists all of them."
        )
        formatter.dedent()
