"""Log-probabilities of generated tokens, in the layout of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeropoint.engine.contract import Event
from zeropoint.engine.session.score import named_ids
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.tokenizer import Tokenizer

__all__ = ["LogprobRecorder", "TokenLogprob", "make_recorder"]


@frozen
class TokenLogprob:
    """A token, and the natural logarithm of its probability under the model.

    It is the log-softmax of the logits before any sampling step: temperature and penalties do not change it.
    token: its text, with U+FFFD for bytes that are no complete character. top: the most probable tokens in
    its place, most probable first, ties by ascending id; they need not include the token itself. named:
    those of the tokens that the request named.
    """

    id: int
    token: str
    bytes: bytes
    logprob: float
    top: Sequence[TokenLogprob] = ()
    named: Sequence[TokenLogprob] = ()

    def as_json(self) -> dict[str, Any]:
        """`token`, `bytes`, `logprob` and `top_logprobs`, as OpenAI's API names them, and `id`.

        `named_logprobs`, if tokens were named.
        """
        named = {"named_logprobs": [t._own() for t in self.named]} if self.named else {}
        return {**self._own(), "top_logprobs": [t._own() for t in self.top], **named}

    def _own(self) -> dict[str, Any]:
        return {"id": self.id, "token": self.token, "bytes": list(self.bytes), "logprob": self.logprob}


class LogprobRecorder:
    """Collects the log-probabilities of an answer. n_top: number of most probable tokens at each position.

    named: ids of tokens to report at each position as well.
    """

    def __init__(self, tokenizer: Tokenizer, n_top: int = 0, named: Sequence[int] = ()) -> None:
        self.n_top, self.named = n_top, tuple(named)
        self.tokens: list[TokenLogprob] = []
        self._tokenizer = tokenizer

    def record(self, event: Event) -> None:
        """Add the token of an event."""
        if event.token is None or event.logprob is None:
            return
        others = [self._entry(token, logprob) for token, logprob in event.top_logprobs]
        n_top = len(others) - len(self.named)
        self.tokens.append(self._entry(event.token, event.logprob, others[:n_top], others[n_top:]))

    def _entry(
        self,
        token: int,
        logprob: float,
        top: Sequence[TokenLogprob] = (),
        named: Sequence[TokenLogprob] = (),
    ) -> TokenLogprob:
        own_bytes = self._tokenizer.token_bytes(token)
        return TokenLogprob(token, own_bytes.decode("utf-8", "replace"), own_bytes, logprob, top, named)


def make_recorder(
    tokenizer: Tokenizer, is_wanted: bool, n_top: int, named: Sequence[str | int] = ()
) -> LogprobRecorder | None:
    """A recorder, or None if no log-probabilities are wanted. named: by text or id. Raises BadInput."""
    if isinstance(n_top, bool) or not isinstance(n_top, int) or not 0 <= n_top <= tokenizer.n_vocab:
        raise BadInput(f"top_logprobs must be a whole number from 0 to {tokenizer.n_vocab}; got {n_top!r}")
    ids = named_ids(tokenizer, named)
    return LogprobRecorder(tokenizer, n_top, ids) if is_wanted or n_top or ids else None
