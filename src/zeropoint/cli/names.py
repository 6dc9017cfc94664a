"""The names that Tab completes: commands, models, runs, presets, programs, number formats and others.

Each function is a click `shell_complete` callback. It runs at every press of Tab, so it lists folders and
catalogues, reads no model file, asks no network and must not fail: without an answer the list is empty.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from zeropoint import registry
from zeropoint.options import Option

__all__ = [
    "command_names",
    "data_names",
    "format_lists",
    "format_names",
    "ladder_names",
    "model_names",
    "preset_names",
    "program_names",
    "run_names",
    "setting_values",
]

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _completer(with_files: bool = False) -> Callable[[Callable[[], Iterable[str]]], Complete]:
    """Make a callback of a function that lists names; with_files: also complete paths."""

    def decorate(names: Callable[[], Iterable[str]]) -> Complete:
        @functools.wraps(names)
        def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
            if with_files and (incomplete.startswith((".", "~")) or "/" in incomplete):
                return [CompletionItem(incomplete, type="file")]
            return _starting(names, incomplete)

        return complete

    return decorate


def _starting(names: Callable[[], Iterable[str]], incomplete: str) -> list[CompletionItem]:
    try:
        return [CompletionItem(name) for name in sorted(set(names())) if name.startswith(incomplete)]
    except Exception:  # an invalid settings file or catalogue is reported by the command, not by Tab
        return []


@_completer(with_files=True)
def model_names() -> Iterable[str]:
    """Models of the catalogue, downloaded models, and training runs; a path completes as a file."""
    from zeropoint.catalogue import cache, catalog, local_names
    from zeropoint.settings import Settings

    downloaded = [record.name for record in cache.records(Settings.read())]
    return [*catalog.known_names(), *downloaded, *local_names.known_runs()]


@_completer(with_files=True)
def run_names() -> Iterable[str]:
    """Training runs in runs/."""
    from zeropoint.catalogue import local_names

    return local_names.known_runs()


@_completer()
def preset_names() -> Iterable[str]:
    """Presets of `train` and `scaling`."""
    from zeropoint.train.config.recipes import recipes

    return recipes()


@_completer()
def program_names() -> Iterable[str]:
    """Handmade programs of `trace`."""
    return [f"handmade:{name}" for name in registry.names("zeropoint.learn.handmade.programs")]


@_completer()
def ladder_names() -> Iterable[str]:
    """Ladders, as they are written on the command line."""
    return [name.replace("_", "-") for name in registry.names("zeropoint.learn.ladders.published")]


@_completer(with_files=True)
def data_names() -> Iterable[str]:
    """Data sets of the catalogue."""
    from zeropoint.catalogue import datasets

    return datasets.load()


def format_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Number formats, in capitals unless the word begins with a small letter."""
    names = registry.names("zeropoint.formats")
    return _starting(lambda: names if incomplete[:1].islower() else map(str.upper, names), incomplete)


def format_lists(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Number formats separated by commas; the last of them is completed."""
    head, comma, last = incomplete.rpartition(",")
    return [CompletionItem(f"{head}{comma}{item.value}") for item in format_names(ctx, param, last)]


def command_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Commands, or after a command with subcommands those."""
    group = ctx.find_root().command
    for name in ctx.params.get(str(param.name)) or ():
        group = group.get_command(ctx, name) if isinstance(group, click.Group) else None  # type: ignore[assignment]
    if not isinstance(group, click.Group):
        return []
    return _starting(lambda: group.list_commands(ctx), incomplete)


def setting_values(option: Option) -> Complete | None:
    """The callback of a setting that takes one of several names, or the name of a model."""
    if option.name == "model":
        return model_names
    if option.name == "template":
        return _completer()(_template_names)
    return _completer()(option.allowed) if option.choices else None


def _template_names() -> Iterable[str]:
    from zeropoint.tokenizers.chat.template import template_names

    return template_names()
