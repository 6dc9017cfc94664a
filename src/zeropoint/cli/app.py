"""The `zeropoint` program: find the command, run it, and turn errors into a message and an exit code.

Each file in `cli/commands/` is a command and defines a click object named `command`. Listing the commands
does not import them: a command's summary is the first line of its docstring, and `GROUP` names its section of
the help. Exit codes: 0 success, 1
failure, 2 bad usage or bad input, 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from zeropoint import __version__, registry
from zeropoint.cli import completion, help_page
from zeropoint.cli.console import Console
from zeropoint.cli.shortcuts import SHORTCUTS, renamed_option, unknown_command
from zeropoint.errors import ZeropointError

__all__ = ["cli", "main"]

_COMMANDS = "zeropoint.cli.commands"
_PLAIN_TYPES = {"is not a valid integer": "is not a whole number", "is not a valid float": "is not a number"}
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_GROUPS = ("Use", "Look inside", "Train", "Check", "Other")  # the order of the sections of the help
_EXAMPLES = """\b
Examples:
  zeropoint chat                          chat with the default model
  zeropoint chat "Why is the sky blue?"   print one answer
  cat notes.txt | zeropoint chat "Summarise this."
  zeropoint run MODEL                     chat with another model
  zeropoint plan MODEL                    check memory and expected speed before downloading

New to language models? docs/tour.md leads through chatting, looking inside and training in twenty minutes,
and docs/glossary.md explains the words.
"""


class Commands(help_page.Group):
    """A click group whose commands are the modules of a package, imported only when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name.replace("_", "-") for name in registry.names(_COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (shortcut := SHORTCUTS.get(cmd_name)) is not None:
            group = self.get_command(ctx, shortcut.group)
            return group.commands[shortcut.name] if isinstance(group, click.Group) else None
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = registry.load(_COMMANDS, cmd_name, "command").command
        add_common_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = [*self.list_commands(ctx), *SHORTCUTS]
        if args[0] not in known and not args[0].startswith("-"):
            ctx.fail(unknown_command(args[0], known))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands with their summaries, without importing them; then the options."""
        rows = {name: summary for group in command_groups().values() for name, summary in group}
        rows |= {name: shortcut.summary for name, shortcut in SHORTCUTS.items()}
        names = sorted(name for name in rows if name.startswith(incomplete))
        items = [CompletionItem(name, help=rows[name]) for name in names]
        return [*items, *click.Command.shell_complete(self, ctx, incomplete)]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Ctrl-C and a closed pipe end it without a message."""
        try:
            _start_log()
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if sys.stderr.isatty():
                click.echo(err=True)  # so that the shell prompt starts on a new line
            ctx.exit(128 + signal.SIGINT)
        except BrokenPipeError:
            ctx.exit(128 + signal.SIGPIPE)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, rows in command_groups().items():
            with formatter.section(title):
                formatter.write_dl(rows)
        with formatter.section("Shortcuts"):
            formatter.write_dl([(name, shortcut.summary) for name, shortcut in SHORTCUTS.items()])


@click.command(
    cls=Commands,
    epilog=_EXAMPLES,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
)
@click.version_option(__version__, "-V", "--version", message="zeropoint %(version)s")
@completion.options
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Run, inspect, train and study language models on your own machine."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command line (default: sys.argv) and exit with its code."""
    code = 128 + signal.SIGINT
    with contextlib.suppress(KeyboardInterrupt):  # before or after the command
        console = Console()
        _prepare_streams()
        with _cleanup_on_signals(), _thread_failures_on_one_line(console):
            code = _run(list(sys.argv[1:] if argv is None else argv), console)
            _flush()
    sys.exit(code)


@contextlib.contextmanager
def _thread_failures_on_one_line(console: Console) -> Iterator[None]:
    """Report a failed thread of a library, such as TensorBoard, on one line; with -v by its traceback."""

    def report(failure: threading.ExceptHookArgs) -> None:
        if console.is_verbose:
            threading.__excepthook__(failure)
        elif failure.exc_type is not SystemExit:
            console.warning(f"a background thread failed ({failure.exc_type.__name__}: {failure.exc_value})")

    before, threading.excepthook = threading.excepthook, report
    try:
        yield
    finally:
        threading.excepthook = before


def _run(argv: list[str], console: Console) -> int:
    try:
        result = cli.main(argv, prog_name="zeropoint", obj=console, standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return 128 + signal.SIGINT
    except SystemExit as error:  # click exits this way if the reader of the help has gone
        return int(error.code or 0)
    except click.ClickException as error:
        _show_usage_error(console, error)
        return error.exit_code
    except ZeropointError as error:
        _print_traceback(console)
        console.error(str(error))
        return error.exit_code
    except MemoryError:
        _print_traceback(console)
        console.error("out of memory; use a smaller model or --context, or close other programs")
    except OSError as error:
        _print_traceback(console)
        console.error(_os_error_message(error))
    except Exception as error:
        if _was_interrupted(error):
            return 128 + signal.SIGINT
        _print_traceback(console)
        console.error(
            f"this is a bug in zeropoint ({type(error).__name__}: {error}); "
            "run the command again with -v and report the output"
        )
    return 1


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether an error stands for Ctrl-C, which an import in progress may turn into another exception."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def add_common_options(command: click.Command) -> None:
    """Add -v, -q, --no-color and -h to a command and its subcommands."""
    settings = {"help_option_names": ["-h", "--help"], **command.context_settings}
    command.context_settings = settings
    present = {name for option in command.params for name in option.opts}
    for option in _common_options():
        if not present.intersection(option.opts):
            command.params.append(option)
    if isinstance(command, click.Group):
        for sub in command.commands.values():
            add_common_options(sub)


def _common_options() -> list[click.Option]:
    def set_on_console(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        console = ctx.find_object(Console)
        if value and console is not None:
            name, setting = {
                "verbose": ("is_verbose", True),
                "quiet": ("is_quiet", True),
                "no_color": ("color", False),
            }[str(param.name)]
            setattr(console, name, setting)

    def flag(*names: str, help: str, variable: str | None = None) -> click.Option:
        return help_page.Option(
            names,
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=set_on_console,
            help=help,
            group=help_page.EVERY_COMMAND,
            variable=variable,
        )

    return [
        flag(
            "-v",
            "--verbose",
            help="Print more messages, and where an error happened in the code.",
            variable="ZEROPOINT_DEBUG",
        ),
        flag("-q", "--quiet", help="Print no notices, warnings or progress, only results and errors."),
        flag("--no-color", help="Print without colour.", variable="NO_COLOR"),
    ]


def command_groups() -> dict[str, list[tuple[str, str]]]:
    """The name and summary of each command by group, in the order of the help. Imports no command."""
    groups: dict[str, list[tuple[str, str]]] = {title: [] for title in _GROUPS}
    for module in registry.names(_COMMANDS):
        group, summary = _described(module)
        groups.setdefault(group, []).append((module.replace("_", "-"), summary))
    return {title: rows for title, rows in groups.items() if rows}


def _described(module: str) -> tuple[str, str]:
    """The GROUP and the first docstring line of a command, read without importing it."""
    import ast  # imported here: only --help needs it

    path = registry.source(_COMMANDS, module)
    tree = ast.parse(path.read_bytes() if path else b"")
    values = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    return str(values.get("GROUP", "Other")), (ast.get_docstring(tree) or "").partition("\n")[0]


def _start_log() -> None:
    """Configure logging if the `log` setting is set. Raises BadInput for invalid settings."""
    from zeropoint.settings import Settings

    level = Settings.read().get("log")
    if level.source != "default":
        import logging

        log_format = "%(levelname)s %(name)s: %(message)s"
        logging.basicConfig(level=level.value.upper(), stream=sys.stderr, format=log_format)


def _show_usage_error(console: Console, error: click.ClickException) -> None:
    """Print click's message and a pointer to --help; for a group without a command, print its help."""
    message = error.format_message().rstrip(".")
    for term, plain in _PLAIN_TYPES.items():
        message = message.replace(term, plain)
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):  # since click 8.2
        click.echo(message, err=True)
        return
    context = getattr(error, "ctx", None)
    if context is not None:
        if isinstance(error, click.NoSuchOption):
            known = [name for parameter in context.command.params for name in parameter.opts]
            if ours := renamed_option(error.option_name, known):
                message = f"{error.message.rstrip('.')}: it is {ours} here"
        hint = "put text that begins with a dash after `--`, or " if _is_text(error, context.command) else ""
        message = f"{message}; {hint}see `{context.command_path} --help`"
    console.error(message)


def _is_text(error: click.ClickException, command: click.Command) -> bool:
    """Whether an unknown option is probably a text that begins with a dash, such as "-5 plus 3 is?"."""
    if not isinstance(error, click.NoSuchOption):
        return False
    takes_text = any(isinstance(parameter, click.Argument) for parameter in command.params)
    return takes_text and (not error.option_name.startswith("--") or " " in error.option_name)


def _print_traceback(console: Console) -> None:
    """Print the traceback with -v or the `debug` setting."""
    from zeropoint.settings import Settings

    is_enabled = console.is_verbose
    with contextlib.suppress(ZeropointError, OSError):  # invalid settings are reported by the command itself
        is_enabled = is_enabled or Settings.read().get("debug").value
    if is_enabled:
        import traceback

        traceback.print_exc()


def _os_error_message(error: OSError) -> str:
    """A sentence for an error of a file, or of an output stream, that no other code has described."""
    if isinstance(error.filename, str | bytes):
        from pathlib import Path

        from zeropoint.files.disk_errors import disk_error

        return str(disk_error(error, Path(os.fsdecode(error.filename))))
    return f"cannot write the output ({error.strerror or error}); free some space or write it elsewhere"


@contextlib.contextmanager
def _cleanup_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP (a closed terminal) end the program as Ctrl-C does: temporary files are removed.

    A signal that the caller ignores, as nohup does, stays ignored. A training run handles them itself.
    Outside the main thread, where Python cannot set handlers, nothing changes.
    """

    def exit_once(number: int, frame: FrameType | None) -> NoReturn:
        for other in handled:
            signal.signal(other, signal.SIG_IGN)  # a second one must not interrupt the cleanup
        raise SystemExit(128 + number)

    is_main = threading.current_thread() is threading.main_thread()
    handled = [n for n in _ENDING_SIGNALS if is_main and signal.getsignal(n) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, exit_once)
    try:
        yield
    finally:
        for number in handled:
            signal.signal(number, signal.SIG_DFL)


def _prepare_streams() -> None:
    """Replace closed streams with /dev/null; print "?" for characters that the terminal cannot encode."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - stays open until exit
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _flush() -> None:
    """Flush the streams; if the reader has gone, stop the interpreter from reporting that at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


cli.params += _common_options()
