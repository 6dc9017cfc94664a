"""Print one answer, with its log-probabilities on request: shared by `chat` and `generate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.reply_writer import ReplyWriter
from zeropoint.errors import BadInput
from zeropoint.tokenizers.chat.reply.events import Text

if TYPE_CHECKING:
    from zeropoint.engine.session.chat import Answer
    from zeropoint.engine.session.stream import Stream
    from zeropoint.sampling.params import SamplingParams

__all__ = ["as_plain", "logprob_options", "print_answer", "take_logprobs", "usage", "warn_of_end"]

F = TypeVar("F", bound=Callable[..., Any])
_MAX_TOP = 1000  # as `inspect --top`


def logprob_options(command: F) -> F:
    """Add --logprobs and --top-logprobs."""
    add_top = help_page.option(
        "--top-logprobs",
        group="Probabilities",
        type=click.IntRange(1, _MAX_TOP),
        metavar="N",
        help="With --json: also the N tokens that were likeliest in the place of each.",
    )
    add_logprobs = help_page.option(
        "--logprobs",
        group="Probabilities",
        is_flag=True,
        help="With --json: how likely the model found each token that it wrote, before sampling, as a "
        "natural logarithm: 0 is certain, -2.3 is one in ten.",
    )
    return add_logprobs(add_top(command))


def take_logprobs(flags: dict[str, Any], as_json: bool) -> dict[str, Any]:
    """Remove the flags of `logprob_options` and return the arguments of `Model.chat` that they stand for."""
    wants, n_top = flags.pop("logprobs"), flags.pop("top_logprobs") or 0
    if not wants and not n_top:
        return {}
    if not as_json:
        raise BadInput("--logprobs and --top-logprobs are part of the JSON output; add --json")
    return {"logprobs": True, "top_logprobs": n_top}


def print_answer(
    console: Console, stream: Stream | Answer, params: SamplingParams, as_json: bool = False
) -> None:
    """Stream an answer to stdout as it is generated, or print it as one JSON object at the end."""
    try:
        pieces = []
        writer = ReplyWriter(console)
        for event in stream.events():
            if isinstance(event, Text):
                pieces.append(event.text)
            if not as_json:
                writer.write(event)
    finally:
        stream.close()
    text = "".join(pieces)
    if as_json:
        logprobs = [token.as_json() for token in stream.logprobs]
        console.json(
            {
                "text": text,
                **({"reasoning": stream.reasoning} if stream.reasoning else {}),
                "usage": usage(**as_plain(stream.usage)),
                "finish_reason": stream.finish_reason,
                "timings": as_plain(stream.timings),
                **({"logprobs": {"content": logprobs}} if logprobs else {}),
            }
        )
    elif not text.endswith("\n"):
        console.line()
    for notice in stream.notices:
        console.warning(notice)
    warn_of_end(console, stream, params, "--max-tokens", "--no-stop-repetition")


def warn_of_end(
    console: Console, stream: Stream | Answer, params: SamplingParams, limit: str, repetition: str
) -> None:
    """Warn if the answer stopped at the token limit or repeated itself.

    limit, repetition: the flag or command that changes the limit, and the one that accepts repetitions.
    """
    if stream.finish_reason == "length" and stream.usage.completion_tokens == params.max_tokens:
        tokens = "1 token" if params.max_tokens == 1 else f"{params.max_tokens} tokens"
        console.warning(f"the answer was cut off after {tokens}; {limit} N changes the limit")
    elif stream.finish_reason == "repetition":
        console.warning(
            f"the answer was stopped because it repeats itself; {repetition} lets it continue, and a "
            "repetition penalty of 1.1 makes it less likely"
        )


def usage(prompt_tokens: int, completion_tokens: int = 0, cached_tokens: int = 0) -> dict[str, int]:
    """Token counts for JSON output, with the keys of OpenAI."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "cached_tokens": cached_tokens,
    }


def as_plain(value: Any) -> Any:
    """A dataclass as a dict; any other value unchanged."""
    return (
        dataclasses.asdict(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type)
        else value
    )
