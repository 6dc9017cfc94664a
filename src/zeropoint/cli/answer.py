"""One question, one answer on stdout: what `chat` and `generate` share when nobody types along."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from zeropoint.cli.console import Console
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.chat import Answer
    from zeropoint.engine.session.stream import Stream
    from zeropoint.sampling.params import SamplingParams

__all__ = ["as_plain", "print_answer", "read_prompt", "tell_budget"]


def read_prompt(argument: str | None, what: str) -> str:
    """The text to work on: the argument, piped stdin, or the piped text and then the argument.

    `-` is stdin. what: how to call it in an error ("question"). Raises BadInput where there is none.
    """
    piped = _read_stdin() if argument == "-" or not _is_terminal() else ""
    parts = [part for part in (piped, "" if argument in (None, "-") else argument) if part]
    if not parts:
        raise BadInput(f"there is no {what}; give one as an argument or on stdin")
    return "\n\n".join(str(part) for part in parts)


def print_answer(
    console: Console, stream: Stream | Answer, params: SamplingParams, as_json: bool = False
) -> None:
    """Stream the answer to stdout, each piece at once; or all of it as one JSON object."""
    try:
        pieces = []
        for piece in stream:
            pieces.append(piece)
            if not as_json:
                console.write(piece)
    finally:
        stream.close()
    text = "".join(pieces)
    if as_json:
        console.json(
            {
                "text": text,
                "usage": as_plain(stream.usage),
                "finish_reason": stream.finish_reason,
                "timings": as_plain(stream.timings),
            }
        )
    elif not text.endswith("\n"):
        console.line()
    for notice in stream.notices:
        console.notice(notice)
    tell_budget(console, stream, params, "--max-tokens")


def tell_budget(console: Console, stream: Stream | Answer, params: SamplingParams, way: str) -> None:
    """Say so where the budget ended the answer, and not the model. way: how to give another one."""
    if stream.finish_reason == "length" and stream.usage.completion_tokens == params.max_tokens:
        console.warning(f"the answer was cut after {params.max_tokens} tokens; {way} N sets another limit")


def as_plain(value: Any) -> Any:
    """A dataclass as a dict; anything else as it is."""
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )


def _read_stdin() -> str:
    if sys.stdin is None:
        return ""
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"stdin is not valid UTF-8 (byte {error.start}); convert it, with iconv say") from None
    return text.removesuffix("\n").removesuffix("\r")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
