"""Read a prompt from the arguments or stdin, and print one answer: shared by `chat` and `generate`."""

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

__all__ = ["as_plain", "print_answer", "read_prompt", "warn_if_cut"]


def read_prompt(argument: str | None, noun: str) -> str:
    """The argument, piped stdin, or the piped text followed by the argument. `-` reads stdin.

    noun: what to call the text in an error ("question"). Raises BadInput if there is no text.
    """
    piped = _read_stdin() if argument == "-" or not _is_terminal() else ""
    parts = [part for part in (piped, "" if argument in (None, "-") else argument) if part]
    if not parts:
        raise BadInput(f"no {noun} given; pass it as an argument or on stdin")
    return "\n\n".join(str(part) for part in parts)


def print_answer(
    console: Console, stream: Stream | Answer, params: SamplingParams, as_json: bool = False
) -> None:
    """Stream an answer to stdout as it is generated, or print it as one JSON object at the end."""
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
        console.warning(notice)
    warn_if_cut(console, stream, params, "--max-tokens")


def warn_if_cut(console: Console, stream: Stream | Answer, params: SamplingParams, option: str) -> None:
    """Warn if the answer stopped at the token limit. option: the flag or command that changes the limit."""
    if stream.finish_reason == "length" and stream.usage.completion_tokens == params.max_tokens:
        console.warning(
            f"the answer was cut off after {params.max_tokens} tokens; {option} N changes the limit"
        )


def as_plain(value: Any) -> Any:
    """A dataclass as a dict; any other value unchanged."""
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
        raise BadInput(
            f"stdin is not valid UTF-8 (byte {error.start}); convert it first, for example with iconv"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()
