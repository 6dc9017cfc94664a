"""Every error meant for users, with the exit code of the command that fails with it.

A message is one sentence: what was wrong, what is allowed, what to do. `cli/console.py` prints it after
"error: ".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = [
    "TRAIN_PACKAGES",
    "BadInput",
    "BadModelFile",
    "ContextFull",
    "DiskError",
    "MachineError",
    "NetworkError",
    "OutOfMemory",
    "ZeropointError",
    "choices",
    "not_installed",
]

TRAIN_PACKAGES = ("torch", "matplotlib", "plotext", "pyarrow", "sacrebleu")
"""The packages of the extra `train`."""


_MAX_SHOWN = 200  # characters of a value in a message: it may come from a file


class ZeropointError(Exception):
    """Base class of all errors raised on purpose. Exit code 1."""

    exit_code = 1


class BadInput(ZeropointError):
    """A value, option, prompt, template or name is invalid; the message names it. Exit code 2."""

    exit_code = 2


class BadModelFile(BadInput):
    """A model file is damaged, malicious or of an unsupported kind. Exit code 2."""


class ContextFull(BadInput):
    """The prompt is longer than the context; the message gives both lengths. Exit code 2."""


class NetworkError(ZeropointError):
    """A download failed; the message gives the reason for each source. Exit code 1."""


class DiskError(ZeropointError):
    """The disk is full, a path cannot be used, or a file changed while it was read. Exit code 1."""


class OutOfMemory(ZeropointError):
    """An allocation failed; the message gives the size. Exit code 1."""


class MachineError(ZeropointError):
    """The machine or an installed package cannot do it: a missing CPU feature, NaN values. Exit code 1."""


def not_installed(purpose: str, package: str) -> str:
    """The message for a missing optional package.

    It names packages, not an extra of ours: `pip install '.[train]'` would compile the engine again.

    >>> not_installed("BLEU", "sacrebleu").partition("; ")[0]
    'BLEU needs sacrebleu, which is not installed'
    """
    remedy = f"run `pip install {package}`"
    if package in TRAIN_PACKAGES:
        remedy += f", or `pip install {' '.join(TRAIN_PACKAGES)}` for all that training uses"
    return f"{purpose} needs {package}, which is not installed; {remedy}"


def choices(kind: str, given: object, allowed: Iterable[str], became: Mapping[str, str] | None = None) -> str:
    """The message for a value outside a fixed set: the value, the set, and the closest member.

    became: former names and their replacements; the message then gives the replacement instead.

    >>> choices("command", "chta", ["chat", "plan"])
    'unknown command `chta`; expected one of chat, plan (closest: chat)'
    """
    names = sorted(allowed)
    if replacement := (became or {}).get(str(given)):
        hint = f" ({replacement} replaces {given})"
    else:
        import difflib  # only when there is an error; imports delay start-up

        by_lower = {name.lower(): name for name in names}
        close = difflib.get_close_matches(str(given).lower(), by_lower, n=1)
        hint = f" (closest: {by_lower[close[0]]})" if close else ""
    shown = str(given) if len(str(given)) <= _MAX_SHOWN else f"{given!s:.{_MAX_SHOWN}}..."
    return f"unknown {kind} `{shown}`; expected one of {', '.join(names)}{hint}"
