"""`Engine`: the contract between a running model and everything that uses it.

`engine/native/engine.py` (C++) and `engine/torch/engine.py` fulfil it. A `Request` goes in and `Event`s come
out of `step()`. A `Stepper` decodes one sequence step by step. `trace` records taps and the logit lens.
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
"""`n_ctx` of an engine with a window, which generates without end."""

FinishReason = Literal["stop", "length", "repetition", "cancelled"]
"""Why an answer ended: an end token or a stop sequence; the token limit or a full context; endless repetition
(`sampling/repetition.py`; engines do not look for it); the caller."""


@frozen
class Request:
    """Generate after `prompt_ids` until a stop token, `params.max_tokens` or the context ends the answer.

    stop_ids: tokens that end the answer and are not part of it. wants_logprobs: also return
    log-probabilities, at the cost of a pass over the logits for each token; n_top_logprobs: also those of
    this many of the most probable tokens; logprob_ids: and of these. interventions: modify the forward
    passes; such a request shares no KV cache with others.
    """

    prompt_ids: Sequence[int]
    params: SamplingParams
    stop_ids: Sequence[int] = ()
    wants_logprobs: bool = False
    n_top_logprobs: int = 0
    interventions: Sequence[Intervention] = ()
    logprob_ids: Sequence[int] = ()


@frozen
class Event:
    """One step of one request.

    token: the new token, or None if the step only ended the request or read a part of its prompt.
    logprob: its natural-log probability under the model, before sampling steps; None unless requested.
    finish: the reason that the request ended, on its last event only.
    n_prompt, n_cached: prompt tokens in total, and those taken from the KV cache.
    n_read: prompt tokens read so far, including cached ones (progress of the prefill).
    top_logprobs: (token, logprob) of the most probable tokens, most probable first, ties by ascending id;
    then those of `Request.logprob_ids`.
    """

    request: int
    token: int | None
    logprob: float | None
    finish: FinishReason | None
    n_prompt: int
    n_cached: int
    n_read: int
    top_logprobs: Sequence[tuple[int, float]] = ()


@frozen
class Tap:
    """A tap to record, by its name in `blueprint/taps.py` ("blocks.3.attention.weights").

    heads: for a tensor whose first axis is heads; None or empty for all.
    """

    point: str
    heads: Sequence[int] | None = None


@frozen
class LogitLens:
    """Apply the final norm and head after each of `layers`: the logit lens (nostalgebraist, 2020).

    After the last layer it is the model's prediction. top: number of most probable tokens; tokens: ids to
    report as well; has_logits: also all V logits at each position.
    """

    layers: Sequence[int]
    top: int = 0
    tokens: Sequence[int] = ()
    has_logits: bool = False


@frozen
class LogitLensRows:
    """The logit lens after one layer, one row per token of the text. Natural logarithms, float32.

    top_ids, top_logprobs: [T, top], most probable first, ties by ascending id.
    named_logprobs: [T, tokens]. next_logprobs: [T - 1], of the text's own next token.
    logits: [T, V], None unless requested.
    """

    layer: int
    top_ids: NDArray[np.int32]
    top_logprobs: NDArray[np.float32]
    named_logprobs: NDArray[np.float32]
    next_logprobs: NDArray[np.float32]
    logits: NDArray[np.float32] | None = None

    def __repr__(self) -> str:
        n_tokens, n_top = self.top_ids.shape
        return f"<LogitLensRows: layer {self.layer}, {n_tokens:,} tokens, top {n_top}>"


@frozen
class Trace:
    """The result of one traced forward pass.

    points: tap name to float32 array, in the tap's shape with the chosen heads only.
    lens: one entry per layer.
    """

    token_ids: list[int]
    points: dict[str, NDArray[np.float32]]
    lens: list[LogitLensRows] = field(default_factory=list)

    def __getitem__(self, point: str) -> NDArray[np.float32]:
        return self.points[point]

    def __repr__(self) -> str:
        shapes = (f"{name} {'x'.join(map(str, array.shape))}" for name, array in self.points.items())
        lens = (f"logit lens of {len(self.lens)} layers",) if self.lens else ()
        return f"<Trace: {'; '.join((f'{len(self.token_ids):,} tokens', *shapes, *lens))}>"


class Engine(Protocol):
    """A loaded model. Not thread-safe: a single thread submits and steps."""

    n_ctx: int
    n_vocab: int

    def submit(self, request: Request) -> int:
        """Queue a request and return its id. Raises ContextFull or BadInput."""

    def cancel(self, request: int) -> None:
        """End a request; its last Event has finish "cancelled". Unknown ids are ignored."""

    def steer(self, request: int, draft: Sequence[int] = (), masks: NDArray[np.uint32] | None = None) -> None:
        """Guesses and masks for the next token that a request samples, and those after it.

        draft: guesses, which the next step verifies in one forward pass: it accepts them as long as the token
        sampled in their place is the same, so the answer is that of plain decoding, in fewer steps (Leviathan
        et al., "Fast inference from transformers via speculative decoding", 2023). masks: uint32
        [len(draft) + 1, ceil(V / 32)]; bit v % 32 of word v // 32 in row j says whether token v may follow
        j guesses; None allows all. Used once. Unknown ids are ignored. Raises BadInput.
        """

    def step(self) -> list[Event]:
        """Advance every running request by one chunk of its prompt or by one token.

        A request whose guesses prove right has an event for each token.
        """

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
        """Record taps and the logit lens of one forward pass over ids, starting from an empty cache.

        taps: `*` in a name matches any text. Raises BadInput for an unknown tap, layer, head or token, and
        for arrays that are too large; ContextFull.
        """

    def stepper(self, interventions: Sequence[Intervention] = ()) -> Stepper:
        """A new sequence to decode step by step. interventions: modify all its forward passes."""

    def close(self) -> None:
        """Free weights and KV cache; any later call raises BadInput."""


class Stepper(Protocol):
    """One sequence under the caller's control."""

    @property
    def n_tokens(self) -> int:
        """Tokens of the sequence so far."""

    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull."""

    def read(self, ids: Sequence[int]) -> None:
        """Append ids, as `extend`, without logits, which cost much where the vocabulary is large."""

    def rollback(self, n: int) -> None:
        """Remove the last n tokens."""

    def close(self) -> None:
        """Free the cache."""
