"""Every error that a person may see, with the exit code it ends a command with.

A message is one sentence: what was given, what is allowed, what to do. `cli/console.py` prints it
after "error: "; nothing else catches it on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = [
    "BadInput",
    "BadModelFile",
    "ContextFull",
    "DiskError",
    "MachineError",
    "NetworkError",
    "OutOfMemory",
    "ZeropointError",
    "choices",
]


class ZeropointError(Exception):
    """Something could not be done; the base of all errors raised on purpose. Exit code 1."""

    exit_code = 1


class BadInput(ZeropointError):
    """A value, option, prompt, template or request is wrong; the message says which. Exit code 2."""

    exit_code = 2


class BadModelFile(BadInput):
    """A model file is damaged, hostile or of a kind that is not supported. Exit code 2."""


class ContextFull(BadInput):
    """The prompt does not fit the context; the message gives both numbers. Exit code 2."""


class NetworkError(ZeropointError):
    """A download failed from every source; the message lists each with its reason. Exit code 1."""


class DiskError(ZeropointError):
    """The disk is full, a path is not writable or a file changed while it was read. Exit code 1."""


class OutOfMemory(ZeropointError):
    """An allocation failed; the message says how much was needed. Exit code 1."""


class MachineError(ZeropointError):
    """The machine or an installed part cannot do what was asked (CPU feature, NaN). Exit code 1."""


def choices(kind: str, given: object, allowed: Iterable[str], became: Mapping[str, str] | None = None) -> str:
    """One sentence for a value outside a fixed set: what was given, the set, and the closest.

    became: names of before, each with what took its place, which is then said instead of the closest.

    >>> choices("command", "chta", ["chat", "plan"])
    'unknown command `chta`; expected one of chat, plan (closest: chat)'
    """
    names = sorted(allowed)
    if heir := (became or {}).get(str(given)):
        hint = f" ({heir} took the place of {given})"
    else:
        import difflib  # nothing is wrong yet at a start, which waits for every import

        close = difflib.get_close_matches(str(given), names, n=1)
        hint = f" (closest: {close[0]})" if close else ""
    return f"unknown {kind} `{given}`; expected one of {', '.join(names)}{hint}"
