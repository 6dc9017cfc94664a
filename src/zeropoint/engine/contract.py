"""The narrow contract between a model that runs and everything that uses it.

`Engine` is fulfilled by `engine/native.py` (C++) and, later, `engine/torch.py`; a `Request` goes in,
`Event`s come out of `step()`. `Stepper` is the small face for code that decodes by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from zeropoint.sampling.params import SamplingParams

FinishReason = Literal["stop", "length", "cancelled"]


@dataclass(frozen=True)
class Request:
    """Generate after `prompt_ids` (token ids) until a stop token, the budget or the context ends it."""

    prompt_ids: Sequence[int]
    params: SamplingParams
    stop_ids: Sequence[int] = ()  # tokens that end the answer and are not part of it
    wants_logprobs: bool = False  # costs a pass over the logits a token


@dataclass(frozen=True)
class Event:
    """One step of one request.

    token: the token added, or None where the step only ended the request or only read the prompt.
    logprob: its natural-log probability under the model, before any sampling step; None unless wanted.
    finish: why the request ended, on its last event only.
    n_prompt, n_cached: prompt tokens in all, and those taken from the cache.
    n_read: prompt tokens read so far, cached ones included (progress of a long prefill).
    """

    request: int
    token: int | None
    logprob: float | None
    finish: FinishReason | None
    n_prompt: int
    n_cached: int
    n_read: int


class Engine(Protocol):
    """A loaded model. Not thread-safe: one thread submits and steps."""

    n_ctx: int
    n_vocab: int

    def submit(self, request: Request) -> int:
        """Queue a request, returning its number. Raises ContextFull or BadInput."""

    def cancel(self, request: int) -> None:
        """End a request; its last Event has finish "cancelled". Unknown numbers are ignored."""

    def step(self) -> list[Event]:
        """Advance every running request: one chunk of its prompt, or one token."""

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Natural-log probability of ids[1:], each given all before it: float32 [T - 1]."""

    def stepper(self) -> Stepper:
        """A fresh sequence to decode by hand."""

    def close(self) -> None:
        """Free weights and cache; any later call raises."""


class Stepper(Protocol):
    """One sequence under the caller's control."""

    @property
    def n_tokens(self) -> int:
        """Tokens of the sequence so far."""

    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull."""

    def rollback(self, n: int) -> None:
        """Forget the last n tokens."""
