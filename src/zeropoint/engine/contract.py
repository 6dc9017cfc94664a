"""The narrow contract between a model that runs and everything that uses it.

`Engine` is fulfilled by `engine/native/engine.py` (C++) and `engine/torch/engine.py`; a `Request` goes in,
`Event`s come out of `step()`. `Stepper` is the small face for code that decodes by hand. `trace` looks
inside: `Read`s and a `Lens` go in, and what was `Seen` comes out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol

from zeropoint.blueprint.interventions import Intervention
from zeropoint.frozen import frozen
from zeropoint.sampling.params import SamplingParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ENDLESS = 2**31 - 1
"""`n_ctx` of an engine whose texts go on without end, because a window moves over them."""

FinishReason = Literal["stop", "length", "cancelled"]


@frozen
class Request:
    """Generate after `prompt_ids` (token ids) until a stop token, the budget or the context ends it."""

    prompt_ids: Sequence[int]
    params: SamplingParams
    stop_ids: Sequence[int] = ()  # tokens that end the answer and are not part of it
    wants_logprobs: bool = False  # costs a pass over the logits a token
    interventions: Sequence[
        Intervention
    ] = ()  # how its passes are changed; such a request shares no cache with others


@frozen
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


@frozen
class Tap:
    """What is wanted of one point of `blueprint/taps.py` ("blocks.3.attention.weights").

    heads: of a point whose tap begins with heads; None or empty for all of them.
    """

    point: str
    heads: Sequence[int] | None = None


@frozen
class LogitLens:
    """What final norm and head would say after chosen layers: the logit lens (nostalgebraist, 2020).

    After the last layer it is what the model says. top: how many of the best tokens; tokens: ids whose
    probability is wanted; has_logits: all logits, V numbers a token of the text.
    """

    layers: Sequence[int]
    top: int = 0
    tokens: Sequence[int] = ()
    has_logits: bool = False


@frozen
class LogitLensRows:
    """A row a token of the text: what would follow it, after one layer. Natural logarithms, float32.

    top_ids, top_logprobs: [T, top], most probable first, equal ones by rising id.
    named_logprobs: [T, tokens]. next_logprobs: [T - 1], of the text's own next token.
    logits: [T, V], None unless wanted.
    """

    layer: int
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    named_logprobs: NDArray[np.float32]
    next_logprobs: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None


@frozen
class Trace:
    """What was seen while a text was read. points: name to float32, shaped as its tap, chosen heads alone."""

    token_ids: list[int]
    points: dict[str, NDArray[np.float32]]
    lens: list[LogitLensRows] = field(default_factory=list)

    def __getitem__(self, point: str) -> NDArray[np.float32]:
        return self.points[point]


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

    def trace(
        self,
        ids: Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """What is seen while ids are read from an empty cache. reads: `*` in a name stands for anything.

        Raises BadInput for a point, layer, head or token that is not there, and for more than memory should
        hold.
        """

    def stepper(self, interventions: Sequence[Intervention] = ()) -> Stepper:
        """A fresh sequence to decode by hand. taps: how all its passes are changed."""

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
