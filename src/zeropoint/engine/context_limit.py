"""The error for a text that is longer than the context, with a remedy that the model allows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from zeropoint import _native
from zeropoint.errors import ContextFull

__all__ = ["context_full", "longer_context", "with_limit"]


def context_full(subject: str, n_tokens: int, n_ctx: int, max_ctx: int) -> ContextFull:
    """The error of a text of n_tokens. subject: the start of the sentence, such as "the prompt has".

    n_ctx: tokens that the engine was loaded for. max_ctx: the most that the model takes.
    """
    return _limited(ContextFull(_native.context_full_message(subject, n_tokens, n_ctx)), n_ctx, max_ctx)


@contextlib.contextmanager
def with_limit(n_ctx: int, max_ctx: int) -> Iterator[None]:
    """Give the native engine's ContextFull, which does not know the model's limit, that remedy."""
    try:
        yield
    except ContextFull as error:
        raise _limited(error, n_ctx, max_ctx) from None


def longer_context(n_ctx: int, max_ctx: int) -> str:
    """What to do about a context of n_ctx tokens that is too short, other than to shorten the text; or ""."""
    return f", or choose a larger context, up to {max_ctx} tokens" if n_ctx < max_ctx else ""


def _limited(error: ContextFull, n_ctx: int, max_ctx: int) -> ContextFull:
    problem = str(error).partition(";")[0]
    longer = longer_context(n_ctx, max_ctx) or f", because this model takes at most {max_ctx} tokens"
    return ContextFull(f"{problem}; shorten it{longer}")
