"""The slash commands of a conversation: one function each, its docstring the line in /help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.cli.options import DEFAULTS
from zeropoint.errors import BadInput, choices
from zeropoint.sampling.params import SamplingParams, options

if TYPE_CHECKING:
    from zeropoint.cli.repl import Repl

__all__ = ["Leave", "names", "run"]

Command = Callable[["Repl", str], None]
_COMMANDS: dict[str, Command] = {}
_ALIASES = {"clear": "reset", "quit": "exit", "bye": "exit", "?": "help"}


class Leave(Exception):
    """The person wants to leave."""


def names() -> list[str]:
    """Every command, without aliases."""
    return list(_COMMANDS)


def run(repl: Repl, line: str) -> None:
    """Run one line that starts with a slash. Raises Leave, or BadInput with the closest command."""
    name, _, rest = line[1:].strip().partition(" ")
    name = _ALIASES.get(name, name)
    if name not in _COMMANDS:
        raise BadInput(choices("command", f"/{name}", [f"/{known}" for known in _COMMANDS]))
    _COMMANDS[name](repl, rest.strip())


def _command(function: Command) -> Command:
    _COMMANDS[function.__name__.strip("_")] = function
    return function


@_command
def _help(repl: Repl, rest: str) -> None:
    """/help: this list"""
    rows = [str(function.__doc__).split(": ", 1) for function in _COMMANDS.values()]
    repl.console.table(("command", "what it does"), rows)
    repl.console.line('Text over several lines stands between """ and """.')


@_command
def _exit(repl: Repl, rest: str) -> None:
    """/exit: leave (so does Ctrl-D)"""
    raise Leave


@_command
def _system(repl: Repl, rest: str) -> None:
    """/system [TEXT]: show or set what the model is told before the conversation"""
    if rest:
        repl.conversation.system = rest
        repl.console.notice("the system prompt is set")
    else:
        repl.console.line(repl.conversation.system or "(no system prompt)")


@_command
def _reset(repl: Repl, rest: str) -> None:
    """/reset: forget the conversation; the system prompt stays"""
    repl.conversation.reset()
    repl.console.notice("the conversation is forgotten")


@_command
def _retry(repl: Repl, rest: str) -> None:
    """/retry: another answer to the last question"""
    repl.answer(repl.conversation.retry(repl.params))


@_command
def _save(repl: Repl, rest: str) -> None:
    """/save FILE: write the conversation as JSON, and its cache beside it"""
    path = _path(rest, "/save")
    repl.conversation.save(path)
    repl.console.notice(f"saved to {path}")


@_command
def _load(repl: Repl, rest: str) -> None:
    """/load FILE: continue a saved conversation"""
    path = _path(rest, "/load")
    for notice in repl.conversation.load(path):
        repl.console.notice(notice)
    n = len(repl.conversation.turns) // 2
    repl.console.notice(f"loaded {n} {'turn' if n == 1 else 'turns'} from {path}")


@_command
def _stats(repl: Repl, rest: str) -> None:
    """/stats: tokens and times of the last answer"""
    if not repl.stats:
        raise BadInput("there is no answer yet; ask something first")
    repl.console.table(("number", "value"), [(name, _shown(value)) for name, value in repl.stats.items()])


@_command
def _params(repl: Repl, rest: str) -> None:
    """/params: the sampling parameters"""
    given = repl.params.flat()
    rows = [(o.name, _shown(given.get(o.name, o.default)), o.help) for o in options()]
    repl.console.table(("parameter", "value", "meaning"), rows)


@_command
def _set(repl: Repl, rest: str) -> None:
    """/set NAME VALUE: change a sampling parameter; "default" as the value undoes it"""
    name, _, text = rest.partition(" ")
    name, text = name.replace("-", "_"), text.strip()
    table = {option.name: option for option in options()}
    if name not in table:
        raise BadInput(choices("parameter", name, table))
    if not text:
        raise BadInput(f"give a value: /set {name} VALUE, where VALUE is {table[name].range()}")
    flat = repl.params.flat()
    if text == "default":
        flat.pop(name, None)
        defaults = {**DEFAULTS, **repl.conversation.model.defaults}
        flat.update({n: v for n, v in defaults.items() if n == name})
    else:
        flat[name] = text if table[name].is_many else _number(text, table[name].type)
    repl.params = SamplingParams.of(**flat)
    repl.console.notice(f"{name} is {_shown(repl.params.flat().get(name, table[name].default))}")


def _number(text: str, kind: type) -> Any:
    """The number that a text spells, or the text for the parameter to refuse."""
    try:
        return kind(text)
    except ValueError:
        return text


def _path(text: str, command: str) -> Path:
    if not text:
        raise BadInput(f"give a file: {command} FILE")
    return Path(text).expanduser()


def _shown(value: Any) -> str:
    if value in (None, ()):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
