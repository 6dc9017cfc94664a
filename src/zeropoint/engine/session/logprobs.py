"""Log-probabilities of generated tokens, in the layout of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zeropoint.engine.contract import Event
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.tokenizers.core.tokenizer import Tokenizer

__all__ = ["LogprobRecorder", "TokenLogprob", "make_recorder"]


@frozen
class TokenLogprob:
    """A token, and the natural logarithm of its probability under the model.

    It is the log-softmax of the logits before any sampling step: temperature and penalties do not change it.
    token: its text, with U+FFFD for bytes that are no complete character. top: the most probable tokens in
    its place, most probable first, ties by ascending id; they need not include the token itself.
    """

    id: int
    token: str
    bytes: bytes
    logprob: float
    top: Sequence[TokenLogprob] = ()

    def as_json(self) -> dict[str, Any]:
        """`token`, `bytes`, `logprob` and `top_logprobs`, as OpenAI's API names them, and `id`."""
        own = {"id": self.id, "token": self.token, "bytes": list(self.bytes), "logprob": self.logprob}
        top = [{key: value for key, value in t.as_json().items() if key != "top_logprobs"} for t in self.top]
        return {**own, "top_logprobs": top}


class LogprobRecorder:
    """Collects the log-probabilities of an answer. n_top: number of most probable tokens at each position."""

    def __init__(self, tokenizer: Tokenizer, n_top: int = 0) -> None:
        self.n_top = n_top
        self.tokens: list[TokenLogprob] = []
        self._tokenizer = tokenizer

    def record(self, event: Event) -> None:
        """Add the token of an event."""
        if event.token is None or event.logprob is None:
            return
        top = [self._entry(token, logprob) for token, logprob in event.top_logprobs]
        self.tokens.append(self._entry(event.token, event.logprob, top))

    def _entry(self, token: int, logprob: float, top: Sequence[TokenLogprob] = ()) -> TokenLogprob:
        own_bytes = self._tokenizer.token_bytes(token)
        return TokenLogprob(token, own_bytes.decode("utf-8", "replace"), own_bytes, logprob, top)


def make_recorder(tokenizer: Tokenizer, is_wanted: bool, n_top: int) -> LogprobRecorder | None:
    """A recorder, or None if neither log-probabilities nor alternatives are wanted. Raises BadInput."""
    if isinstance(n_top, bool) or not isinstance(n_top, int) or not 0 <= n_top <= tokenizer.n_vocab:
        raise BadInput(f"top_logprobs must be a whole number from 0 to {tokenizer.n_vocab}; got {n_top!r}")
    return LogprobRecorder(tokenizer, n_top) if is_wanted or n_top else None
