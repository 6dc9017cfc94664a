"""Shell completion: `--install-completion`, `--show-completion`, and the names of models.

The scripts are click's own; only where they go is decided here. Names of models come from the catalogue
and from the cache, read while a person presses Tab, so nothing here may fail or take long.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click import shell_completion

from zeropoint.errors import BadInput, DiskError, ZeropointError, choices

__all__ = ["model_names", "options"]

F = TypeVar("F", bound=Callable[..., Any])
_VARIABLE = "_ZEROPOINT_COMPLETE"
# Where each shell looks for it: the variable that names the folder, its default, and the file there.
_PLACES = {
    "bash": ("XDG_DATA_HOME", "~/.local/share", "bash-completion/completions/zeropoint"),
    "fish": ("XDG_CONFIG_HOME", "~/.config", "fish/completions/zeropoint.fish"),
    "zsh": ("ZDOTDIR", "~", ".zfunc/_zeropoint"),
}


def options(command: F) -> F:
    """Add the two options to a click command."""
    for name, act, help in (
        ("--show-completion", _show, "Print the completion script of a shell."),
        ("--install-completion", _install, "Install completion for a shell."),
    ):
        command = click.option(
            name,
            metavar="[bash|zsh|fish|powershell]",
            is_flag=False,
            flag_value="",
            expose_value=False,
            is_eager=True,
            callback=act,
            help=f"{help} The shell in use if none is named.",
        )(command)
    return command


def model_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the catalogue and of fetched models that start with what was typed."""
    try:
        from zeropoint.catalogue import cache, entries
        from zeropoint.settings import Settings

        names = set(entries.known_names()) | {record.name for record in cache.records(Settings.read())}
    except (ZeropointError, OSError):
        return []
    return sorted(name for name in names if name.startswith(incomplete))


def _show(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        click.echo(_script(_shell(value)))
        ctx.exit()


def _install(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    shell = _shell(value)
    if shell not in _PLACES:
        raise BadInput(
            f"completion for {shell} is not installed by itself; "
            f"add the output of `zeropoint --show-completion {shell}` to your profile"
        )
    variable, default, file = _PLACES[shell]
    path = Path(os.environ.get(variable) or default).expanduser() / file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_script(shell) + "\n", encoding="utf-8")
    except OSError as error:
        raise DiskError(f"cannot write {path}: {error.strerror}; check its permissions") from None
    more = f"; have `fpath+={path.parent}` before `compinit` in .zshrc" if shell == "zsh" else ""
    click.echo(f"wrote {path}{more}; open a new shell to use it", err=True)
    ctx.exit()


def _shell(name: str) -> str:
    shell = name or Path(os.environ.get("SHELL", "")).name
    known = ["bash", "fish", "powershell", "zsh"]
    if shell not in known:
        raise BadInput(choices("shell", shell, known))
    return shell


def _script(shell: str) -> str:
    kind = shell_completion.get_completion_class(shell)
    if kind is None:
        raise BadInput(f"this version of click has no completion for {shell}; install a newer click")
    from zeropoint.cli.app import cli

    return kind(cli, {}, "zeropoint", _VARIABLE).source()
