"""Slash commands of a conversation. Each function is a command; its docstring is its line in /help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from zeropoint.cli.chat_session import ChatSession
from zeropoint.cli.options import DEFAULTS
from zeropoint.engine.session.chat import cache_path
from zeropoint.errors import BadInput, choices
from zeropoint.options import escape
from zeropoint.sampling.params import SamplingParams, options
from zeropoint.settings import from_text

__all__ = ["Leave", "names", "run"]

Command = Callable[[ChatSession, str], None]
_COMMANDS: dict[str, Command] = {}
_ALIASES = {"clear": "reset", "quit": "exit", "bye": "exit", "?": "help"}
_OVERWRITE = "save!"


class Leave(Exception):
    """Raised by /exit to end the conversation."""


def names() -> list[str]:
    """Every command name and alias."""
    return [*_COMMANDS, *_ALIASES, _OVERWRITE]


def run(chat: ChatSession, line: str) -> None:
    """Run a line that starts with a slash. Raises Leave, or BadInput naming the closest command."""
    name, _, argument = line[1:].strip().partition(" ")
    name = _ALIASES.get(name, name)
    if name == _OVERWRITE:
        _save_to(chat, _path(argument, f"/{_OVERWRITE}"))
        return
    if name not in _COMMANDS:
        raise BadInput(choices("command", f"/{name}", [f"/{known}" for known in _COMMANDS]))
    _COMMANDS[name](chat, argument.strip())


def _command(function: Command) -> Command:
    _COMMANDS[function.__name__.strip("_")] = function
    return function


@_command
def _help(chat: ChatSession, argument: str) -> None:
    """/help: list the commands"""
    rows = []
    for name, function in _COMMANDS.items():
        usage, description = str(function.__doc__).split(": ", 1)
        aliases = [f"/{alias}" for alias, target in _ALIASES.items() if target == name]
        rows.append((", ".join([usage, *aliases]), description))
    chat.console.table(("command", "description"), rows)
    chat.console.line('Start and end a message with """ to write it over several lines.')


@_command
def _exit(chat: ChatSession, argument: str) -> None:
    """/exit: end the conversation (or press Ctrl-D)"""
    raise Leave


@_command
def _system(chat: ChatSession, argument: str) -> None:
    """/system [TEXT]: set the system prompt, or show it"""
    if argument:
        chat.conversation.system = argument
        chat.console.notice("system prompt set")
    else:
        chat.console.line(chat.conversation.system or "(no system prompt)")


@_command
def _reset(chat: ChatSession, argument: str) -> None:
    """/reset: start over with an empty conversation and the same system prompt"""
    chat.conversation.reset()
    chat.file = None
    chat.console.notice("conversation cleared")


@_command
def _retry(chat: ChatSession, argument: str) -> None:
    """/retry: generate another answer to the last question"""
    chat.retry()


@_command
def _save(chat: ChatSession, argument: str) -> None:
    """/save FILE: save the conversation as JSON, with its KV cache in FILE.kv; /save! overwrites a file"""
    path = _path(argument, "/save")
    for existing in (path, cache_path(path)):
        if existing.exists() and path != chat.file:  # the conversation's own file may be updated
            raise BadInput(f"{existing} exists; /{_OVERWRITE} {argument} overwrites it")
    _save_to(chat, path)


def _save_to(chat: ChatSession, path: Path) -> None:
    chat.conversation.save(path)
    chat.file = path
    chat.console.notice(f"saved to {path}")


@_command
def _load(chat: ChatSession, argument: str) -> None:
    """/load FILE: continue a saved conversation"""
    path = _path(argument, "/load")
    for notice in chat.conversation.load(path):
        chat.console.notice(notice)
    chat.file = path
    n = len(chat.conversation.turns) // 2
    chat.console.notice(f"loaded {n} {'turn' if n == 1 else 'turns'} from {path}")


@_command
def _stats(chat: ChatSession, argument: str) -> None:
    """/stats: show token counts, times and speed of the last answer"""
    if not chat.stats:
        raise BadInput("there is no answer yet; ask a question first")
    chat.console.table(("statistic", "value"), [(name, _display(v)) for name, v in chat.stats.items()])


@_command
def _params(chat: ChatSession, argument: str) -> None:
    """/params: show the sampling parameters"""
    current = chat.params.flat()
    rows = [(o.name, _display(current.get(o.name, o.default)), o.help) for o in options()]
    chat.console.table(("parameter", "value", "description"), rows)


@_command
def _set(chat: ChatSession, argument: str) -> None:
    """/set [NAME VALUE]: change a sampling parameter, or show all; "default" restores its default"""
    if not argument:
        _params(chat, "")
        return
    name, _, text = argument.partition(" ")
    name, text = name.replace("-", "_"), text.strip()
    known = {option.name: option for option in options()}
    if name not in known:
        raise BadInput(choices("parameter", name, known))
    if not text:
        raise BadInput(f"/set {name} needs a value: /set {name} VALUE, where VALUE is {known[name].range()}")
    flat = chat.params.flat()
    if text == "default":
        flat.pop(name, None)
        defaults = {**DEFAULTS, **chat.conversation.model.defaults}
        flat.update({n: v for n, v in defaults.items() if n == name})
    else:
        flat[name] = from_text(known[name], text)
    chat.params = SamplingParams.of(**flat)
    chat.console.notice(f"{name} is now {_display(chat.params.flat().get(name, known[name].default))}")


def _path(text: str, command: str) -> Path:
    if not text:
        raise BadInput(f"{command} needs a file name: {command} FILE")
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":  # as a shell needs for a name with spaces
        text = text[1:-1]
    return Path(text).expanduser()


def _display(value: Any) -> str:
    if value in (None, ()):
        return "-"
    if isinstance(value, tuple):
        return ", ".join(escape(text) for text in value)
    return f"{value:.4g}" if isinstance(value, float) else str(value)
