"""Shell completion: `--install-completion` and `--show-completion`. `names.py` lists what Tab completes.

Click generates the scripts, except for bash.

Bash also splits the line at colons (COMP_WORDBREAKS): it sees `smollm2:1` as three words and replaces only
the last. Our bash script therefore sends the complete line and receives what follows the last colon.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click import shell_completion

from zeropoint.errors import BadInput, choices

__all__ = ["options"]

F = TypeVar("F", bound=Callable[..., Any])
_VARIABLE = "_ZEROPOINT_COMPLETE"
# Per shell: the environment variable that names the folder, its default, and the completion file in it.
_LOCATIONS = {
    "bash": ("XDG_DATA_HOME", "~/.local/share", "bash-completion/completions/zeropoint"),
    "fish": ("XDG_CONFIG_HOME", "~/.config", "fish/completions/zeropoint.fish"),
    "zsh": ("ZDOTDIR", "~", ".zfunc/_zeropoint"),
}

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value completion
    COMPREPLY=()
    for completion in $(COMP_LINE="${COMP_LINE:0:COMP_POINT}" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1"); do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""


@shell_completion.add_completion_class
class _Bash(shell_completion.BashComplete):
    """Complete the line as typed, independent of how bash splits it at colons."""

    source_template = _BASH
    prefix = ""  # the part of the last word that bash does not replace

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the cursor, and the incomplete word."""
        line = os.environ.get("COMP_LINE", "")
        words = shell_completion.split_arg_string(line)
        if not words or line[-1].isspace():
            words.append("")
        last = re.findall(r"\S*$", line)[0]
        if ":" in os.environ.get("COMP_BREAKS", "") and not last.startswith(("'", '"')):
            value = last.partition("=")[2] if last.startswith("-") else last
            self.prefix = value[: value.rfind(":") + 1]
        return words[1:-1], words[-1]

    def format_completion(self, item: shell_completion.CompletionItem) -> str:
        """The replacement for bash's last word."""
        return f"{item.type},{item.value.removeprefix(self.prefix)}"


def options(command: F) -> F:
    """Add --show-completion and --install-completion to a click command."""
    for name, callback, help in (
        ("--show-completion", _show, "Print the completion script for a shell."),
        ("--install-completion", _install, "Install completion for a shell."),
    ):
        command = click.option(
            name,
            metavar="[bash|zsh|fish|powershell]",
            is_flag=False,
            flag_value="",
            expose_value=False,
            is_eager=True,
            callback=callback,
            help=f"{help} Default: the current shell.",
        )(command)
    return command


def _show(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        click.echo(_script(ctx, _shell(value)))
        ctx.exit()


def _install(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    shell = _shell(value)
    if shell not in _LOCATIONS:
        raise BadInput(
            f"cannot install completion for {shell}; "
            f"add the output of `zeropoint --show-completion {shell}` to your profile"
        )
    variable, default, file = _LOCATIONS[shell]
    path = Path(os.environ.get(variable) or default).expanduser() / file
    from zeropoint.files.atomic_write import replace_file  # here: most starts write no files
    from zeropoint.files.disk_errors import as_disk_error

    with as_disk_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, f"{_script(ctx, shell)}\n".encode())
    hint = f"; put `fpath+={path.parent}` before `compinit` in .zshrc" if shell == "zsh" else ""
    click.echo(f"wrote {path}{hint}; open a new shell to use it", err=True)
    ctx.exit()


def _shell(name: str) -> str:
    shell = name or Path(os.environ.get("SHELL", "")).name
    known = ["bash", "fish", "powershell", "zsh"]
    if shell not in known:
        raise BadInput(choices("shell", shell, known))
    return shell


def _script(ctx: click.Context, shell: str) -> str:
    kind = shell_completion.get_completion_class(shell)
    if kind is None:
        raise BadInput(f"this version of click cannot complete for {shell}; install a newer click")
    return kind(ctx.find_root().command, {}, "zeropoint", _VARIABLE).source()
