"""The torch engine: a torch model behind the `Engine` contract, and the reference for the native engine.

It samples with the same code (`sampling/draw.py`), so that equal logits and seeds give equal tokens. It runs
one sequence at a time, without batching or prefix caching: slow and clear.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from zeropoint.blueprint.interventions import Intervention, PointEdit, compile_interventions
from zeropoint.engine.context_limit import context_full
from zeropoint.engine.contract import Event, FinishReason, LogitLens, LogitLensRows, Request, Tap, Trace
from zeropoint.engine.tap_requests import check_lens, residual_tap, select_taps
from zeropoint.errors import BadInput, MachineError
from zeropoint.layers.taps import observe
from zeropoint.models.decoder import Decoder
from zeropoint.models.interventions import as_functions
from zeropoint.models.logit_lens import logits_after
from zeropoint.models.trace import trace
from zeropoint.sampling.draw import Sampler

__all__ = ["TorchEngine", "TorchStepper"]


@dataclass
class _Running:
    request: Request
    sampler: Sampler
    stepper: TorchStepper
    tokens: list[int] = field(default_factory=list)
    draft: Sequence[int] = ()
    masks: NDArray[np.uint32] | None = None

    @property
    def n_generated(self) -> int:
        return len(self.tokens) - len(self.request.prompt_ids)


class TorchEngine:
    """Runs a torch decoder. Implements `engine.contract.Engine`.

    n_ctx: maximum tokens per sequence, by default the model's training context. n_vocab: size of the
    vocabulary.
    """

    def __init__(self, module: Decoder, *, n_ctx: int | None = None) -> None:
        self.n_ctx = n_ctx or module.blueprint.n_ctx
        self.n_vocab = module.blueprint.n_vocab
        self._module: Decoder | None = module.eval()
        self._running: dict[int, _Running] = {}
        self._finished: list[Event] = []
        self._n_requests = 0

    def submit(self, request: Request) -> int:
        """Queue a request; return its number. Raises ContextFull or BadInput."""
        prompt = _validated(request.prompt_ids, self.n_vocab)
        _validated(request.logprob_ids, self.n_vocab)
        if not prompt:
            raise BadInput("the prompt is empty; give at least one token")
        if len(prompt) >= self.n_ctx:
            raise context_full("the prompt has", len(prompt), self.n_ctx, self._loaded().blueprint.n_ctx)
        seed = secrets.randbits(64) if request.params.seed is None else request.params.seed
        number, self._n_requests = self._n_requests, self._n_requests + 1
        self._running[number] = _Running(
            request, Sampler(request.params.active(), seed), self.stepper(request.interventions), prompt
        )
        return number

    def cancel(self, request: int) -> None:
        """End a request; its last Event has finish "cancelled". Unknown numbers are ignored."""
        running = self._running.pop(request, None)
        if running is not None:
            self._finished.append(_event(request, running, finish="cancelled"))

    def steer(self, request: int, draft: Sequence[int] = (), masks: NDArray[np.uint32] | None = None) -> None:
        """Guesses and masks for the next tokens of a request, as in the contract. Raises BadInput."""
        draft = _validated(draft, self.n_vocab)
        if masks is not None and masks.shape != (len(draft) + 1, -(-self.n_vocab // 32)):
            raise BadInput("masks must have a row for each guess and one more, and a bit for each token")
        running = self._running.get(request)
        if running is not None:
            running.draft, running.masks = draft, masks

    def step(self) -> list[Event]:
        """Advance every running request by a token and the guesses it proves; the first reads the prompt."""
        self._loaded()
        events, self._finished = self._finished, []
        for number, running in list(self._running.items()):
            own = self._advance(number, running)
            if number not in self._running:  # cancelled meanwhile, by another thread
                continue
            if own[-1].finish is not None:
                self._running.pop(number, None)
            events += own
        return events

    def _advance(self, number: int, running: _Running) -> list[Event]:
        """Read the unread tokens and the guesses in one pass, and sample as long as the guesses are right."""
        stepper, tokens = running.stepper, running.tokens
        n_left = self.n_ctx - len(tokens)
        if running.request.params.max_tokens is not None:
            n_left = min(n_left, running.request.params.max_tokens - running.n_generated)
        draft, masks = list(running.draft[: n_left - 1]), running.masks
        running.draft, running.masks = (), None
        logits_TV = stepper.extend([*tokens[stepper.n_tokens :], *draft])[-len(draft) - 1 :]
        events: list[Event] = []
        for row, logits_V in enumerate(logits_TV):
            events.append(self._sample(number, running, logits_V, None if masks is None else masks[row]))
            if row == len(draft) or events[-1].finish is not None or events[-1].token != draft[row]:
                stepper.rollback(len(draft) - row)
                break
        return events

    def _sample(
        self, number: int, running: _Running, logits_V: NDArray[np.float32], mask: NDArray[np.uint32] | None
    ) -> Event:
        request, tokens = running.request, running.tokens
        allowed_V = logits_V if mask is None else np.where(_bits(mask, self.n_vocab), logits_V, -np.inf)
        token = running.sampler.sample(allowed_V, tokens, len(tokens), len(request.prompt_ids))
        if token < 0:
            self._running.pop(number, None)
            raise MachineError("the model's logits contain NaN or exclude every token")
        if token in request.stop_ids:
            return _event(number, running, finish="stop")
        tokens.append(token)
        logprob, top = _logprobs(logits_V, token, request) if request.wants_logprobs else (None, [])
        has_max_tokens = (
            request.params.max_tokens is not None and running.n_generated >= request.params.max_tokens
        )
        is_finished = has_max_tokens or len(tokens) >= self.n_ctx
        return _event(number, running, token, logprob, "length" if is_finished else None, top)

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Natural-log probability of each of ids[1:] given all earlier tokens: float32 [T - 1]."""
        ids = _validated(ids, self.n_vocab)
        if not 2 <= len(ids) <= self.n_ctx + 1:
            raise BadInput(f"the text has {len(ids)} tokens; scoring needs 2 to {self.n_ctx + 1}")
        logprobs_TV = _log_softmax(self.stepper().extend(ids[:-1]))
        return np.take_along_axis(logprobs_TV, np.array(ids[1:])[:, None], axis=-1)[:, 0]

    def trace(
        self,
        ids: Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """Record taps, any of `blueprint/taps.py`, while reading ids. Raises the errors of the contract."""
        module, text, lens = self._loaded(), _validated(ids, self.n_vocab), lens or LogitLens(())
        b = module.blueprint
        if len(text) > self.n_ctx:
            raise context_full("the text has", len(text), self.n_ctx, b.n_ctx)
        requests = select_taps(b, len(text), taps)
        check_lens(b, len(text), lens)
        streams = [residual_tap(b, layer) for layer in lens.layers]
        edits = compile_interventions(b, interventions)
        tensors = trace(module, text, points={*requests, *streams}, n_positions=self.n_ctx, edits=edits)
        arrays = {
            name: np.asarray(tensors[name][heads] if heads else tensors[name])
            for name, (_, heads) in requests.items()
        }
        rows = [
            _lens_rows(layer, np.asarray(logits_after(module, tensors[name])), text, lens)
            for layer, name in zip(lens.layers, streams, strict=True)
        ]
        return Trace(text, arrays, rows)

    def stepper(self, interventions: Sequence[Intervention] = ()) -> TorchStepper:
        """A new sequence that the caller decodes. interventions: applied to every forward pass."""
        module = self._loaded()
        return TorchStepper(module, self.n_ctx, compile_interventions(module.blueprint, interventions))

    def close(self) -> None:
        """Release the module; any later call raises BadInput."""
        self._module = None
        self._running.clear()

    def _loaded(self) -> Decoder:
        if self._module is None:
            raise BadInput("this model is closed; load it again")
        return self._module


class TorchStepper:
    """One sequence that the caller decodes. Implements `engine.contract.Stepper`."""

    def __init__(self, module: Decoder, n_ctx: int, edits: Sequence[PointEdit] = ()) -> None:
        self._module = module
        self._edits = edits
        self._cache = module.new_cache(n_ctx)
        self._ids: list[int] = []

    @property
    def n_tokens(self) -> int:
        """Number of tokens so far."""
        return len(self._ids)

    @torch.no_grad()
    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull, BadInput."""
        n_vocab = self._module.blueprint.n_vocab
        if not len(ids):
            return np.empty((0, n_vocab), np.float32)
        # After a rollback, the cache of a model with recurrences may lack tokens that the sequence has.
        new = _validated(ids, n_vocab)
        unread = [*self._ids[self._cache.n_tokens :], *new]
        ids_BT = torch.tensor([unread], device=self._module.embedding.weight.device)
        module = self._module
        if self._edits:
            module = observe(module, _ignore, as_functions(self._edits, n_past=self._cache.n_tokens))
        logits_TV: NDArray[np.float32] = np.asarray(module(ids_BT, self._cache)[0].float().cpu())
        self._ids += new
        return logits_TV[-len(new) :]

    def read(self, ids: Sequence[int]) -> None:
        """Append ids; the logits are computed, too, because the module has no pass without them."""
        self.extend(ids)

    def rollback(self, n: int) -> None:
        """Remove the last n tokens. Raises BadInput if there are fewer."""
        if not 0 <= n <= self.n_tokens:
            raise BadInput(f"cannot remove {n} tokens; the sequence has {self.n_tokens}")
        n_left = self.n_tokens - n
        self._cache.rollback(max(0, self._cache.n_tokens - n_left))
        del self._ids[n_left:]

    def close(self) -> None:
        """Free the cache."""
        self._cache = self._module.new_cache(self._cache.n_positions)
        self._ids = []


def _validated(ids: Sequence[int], n_vocab: int) -> list[int]:
    tokens = [int(token) for token in ids]
    for token in tokens:
        if not 0 <= token < n_vocab:
            raise BadInput(f"token id {token} is outside the vocabulary of {n_vocab}")
    return tokens


def _bits(mask: NDArray[np.uint32], n_vocab: int) -> NDArray[np.bool_]:
    """The bits of a mask, bool [V]: bit v % 32 of word v // 32 belongs to token v."""
    bits = np.unpackbits(mask.astype("<u4").view(np.uint8), bitorder="little")
    return bits[:n_vocab].astype(bool)


def _ignore(name: str, tensor: torch.Tensor) -> None:
    """An observer for a forward pass that only applies interventions."""


def _event(
    number: int,
    running: _Running,
    token: int | None = None,
    logprob: float | None = None,
    finish: FinishReason | None = None,
    top: Sequence[tuple[int, float]] = (),
) -> Event:
    n_prompt = len(running.request.prompt_ids)
    return Event(number, token, logprob, finish, n_prompt, 0, min(running.stepper.n_tokens, n_prompt), top)


def _logprobs(
    logits_V: NDArray[np.float32], token: int, request: Request
) -> tuple[float, list[tuple[int, float]]]:
    """The log-probability of the sampled token, and the (id, log-probability) of the most probable tokens."""
    logprobs_V = _log_softmax(logits_V)
    top = np.argsort(-logits_V, kind="stable")[: request.n_top_logprobs]  # equal logits by token id
    return float(logprobs_V[token]), [(int(i), float(logprobs_V[i])) for i in (*top, *request.logprob_ids)]


def _lens_rows(
    layer: int, logits_TV: NDArray[np.float32], ids: Sequence[int], lens: LogitLens
) -> LogitLensRows:
    logprobs_TV = _log_softmax(logits_TV)
    # A stable sort orders equal logits by token id.
    top_TK = np.argsort(-logits_TV, axis=-1, kind="stable")[:, : lens.top].astype(np.int32)
    return LogitLensRows(
        layer,
        top_TK,
        np.take_along_axis(logprobs_TV, top_TK, axis=-1),
        logprobs_TV[:, np.array(lens.tokens, int)],
        logprobs_TV[np.arange(len(ids) - 1), ids[1:]],
        logits_TV if lens.has_logits else None,
    )


def _log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Over the last axis, summed in float64."""
    shifted = logits - logits.max(-1, keepdims=True)
    total = np.log(np.exp(shifted.astype(np.float64)).sum(-1, keepdims=True))
    logprobs: NDArray[np.float32] = (shifted - total).astype(np.float32)
    return logprobs
