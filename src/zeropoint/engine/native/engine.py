"""The native engine (C++, `native/`) behind the `Engine` contract."""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, cast

from zeropoint import _native
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention, compile_interventions
from zeropoint.blueprint.taps import TapPoint, split_point
from zeropoint.engine.context_limit import context_full, with_limit
from zeropoint.engine.contract import Event, LogitLens, LogitLensRows, Request, Tap, Trace
from zeropoint.engine.fair_lock import FairLock
from zeropoint.engine.machine import available_memory_bytes, default_threads
from zeropoint.engine.native.kv_cache import native_cache
from zeropoint.engine.native.model_spec import native_spec, stored_tensors
from zeropoint.engine.tap_requests import check_lens, native_taps, select_taps
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, MachineError
from zeropoint.weights.gguf.model import GgufModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NativeEngine", "NativeStepper"]

_MAX_ID = 2**31 - 1


class NativeEngine:
    """A loaded GGUF model. Implements `engine.contract.Engine`.

    n_ctx: maximum tokens per sequence (`contract.ENDLESS` with a window). n_vocab: size of the vocabulary.
    is_exact: float32 activations and cache.
    Threads may share it: each call waits for those before it, except `cancel` and `close`, which interrupt.
    """

    def __init__(
        self,
        model: GgufModel,
        blueprint: Blueprint,
        options: EngineOptions | None = None,
        *,
        make: Callable[..., _native.Engine] = _native.Engine,
    ) -> None:
        """Load the weights. Without options.context, the context is that of the model.

        make: constructs `_native.Engine`; `engine/session/parallel_load.py` builds the tokenizer in parallel.

        Raises BadInput, BadModelFile, OutOfMemory, DiskError, MachineError (the processor lacks the ISA).
        """
        options = options or EngineOptions()
        n_ctx = options.context or blueprint.n_ctx
        self.n_vocab = blueprint.n_vocab
        self._blueprint = blueprint
        free = available_memory_bytes()
        left = None if free is None else max(0, free - sum(t.n_bytes for t in model.tensors.values()))
        cache = native_cache(options, blueprint, n_ctx, left)
        self._engine = make(
            [os.fsencode(path) for path in model.paths],
            native_spec(blueprint, n_ctx),
            stored_tensors(model, blueprint),
            options.threads or default_threads(),
            _checked_isa(options.isa),
            options.exact,
            cache,
        )
        self.lock = FairLock()
        described = self._engine.describe()
        self.isa: str = described["isa"]
        self.n_threads: int = described["n_threads"]
        self.is_exact: bool = described["is_exact"]
        self.weight_bytes: int = described["weight_bytes"]
        self.cache_bytes: int = described["cache_bytes"]
        self.n_ctx: int = described["max_tokens"]
        window = f", window {cache['window']}, sinks {cache['sinks']}" if cache["window"] else ""
        self.cache_name = f"{cache['cache_type']}{window}"

    def submit(self, request: Request) -> int:
        """Queue a request and return its id. Raises ContextFull, OutOfMemory or BadInput."""
        params = request.params
        with self.lock, with_limit(self.n_ctx, self._blueprint.n_ctx):
            return int(
                self._engine.submit(
                    _ids(request.prompt_ids),
                    [(step.name, step.native_fields()) for step in params.active()],
                    int.from_bytes(os.urandom(8)) if params.seed is None else params.seed,
                    list(request.stop_ids),
                    params.max_tokens or 0,
                    request.wants_logprobs,
                    request.n_top_logprobs,
                    self._native_interventions(request.interventions),
                    list(request.logprob_ids),
                )
            )

    def cancel(self, request: int) -> None:
        """End a request; its last Event has finish "cancelled". Ignores an unknown id."""
        self._engine.cancel(request)

    def steer(self, request: int, draft: Sequence[int] = (), masks: NDArray[np.uint32] | None = None) -> None:
        """Guesses and masks for the next tokens of a request, as in the contract. Raises BadInput."""
        with self.lock:
            self._engine.steer(request, _ids(draft), masks)

    def step(self) -> list[Event]:
        """Advance the scheduled requests by one chunk of prompt, or a token and the guesses it proves."""
        with self.lock:
            return [Event(*values) for values in self._engine.step()]

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the natural log-probability of each of ids[1:] given its predecessors: float32 [T - 1].

        Raises ContextFull or BadInput.
        """
        with self.lock, with_limit(self.n_ctx, self._blueprint.n_ctx):
            scores: NDArray[np.float32] = self._engine.score(_ids(ids))
            return scores

    def trace(
        self,
        ids: Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """Run ids from an empty cache and record taps, whose names may contain `*`, and the logit lens.

        The available taps are `tap_requests.native_taps`; each recorded tap costs two thread barriers. Raises
        ContextFull, and BadInput for an unknown tap, layer, head or token and for too much memory.
        """
        text, lens = _ids(ids), lens or LogitLens(())
        if len(text) > self.n_ctx:
            raise context_full("the text has", len(text), self.n_ctx, self._blueprint.n_ctx)
        selected = select_taps(self._blueprint, len(text), taps, native_taps(self._blueprint))
        check_lens(self._blueprint, len(text), lens)
        with self.lock:
            rows, layers = self._engine.trace(
                text,
                [
                    (*split_point(name), heads if name.endswith(".weights") else [])
                    for name, (_, heads) in selected.items()
                ],
                (list(lens.layers), lens.top, list(lens.tokens), lens.has_logits),
                self._native_interventions(interventions),
            )
        points = {
            name: array if name.endswith(".weights") else _shaped(array, tap, heads)
            for array, (name, (tap, heads)) in zip(rows, selected.items(), strict=True)
        }
        lenses = [LogitLensRows(layer, **arrays) for layer, arrays in zip(lens.layers, layers, strict=True)]
        return Trace([int(token) for token in text], points, lenses)

    def stepper(self, interventions: Sequence[Intervention] = ()) -> NativeStepper:
        """Open an empty sequence to decode step by step; the interventions apply to all its passes."""
        with self.lock:
            sequence = self._engine.open_sequence(self._native_interventions(interventions))
        return NativeStepper(sequence, self.n_ctx, self._blueprint.n_ctx, self.lock)

    def _native_interventions(
        self, interventions: Sequence[Intervention]
    ) -> list[tuple[str, int, int, int, int, int, float, list[float]]]:
        return [
            (*split_point(e.point), e.first, e.end, e.column, e.n_columns, e.factor, list(e.addend))
            for e in compile_interventions(self._blueprint, interventions)
        ]

    @property
    def used_cache_bytes(self) -> int:
        """Bytes of the cache in use, idle prefixes included."""
        with self.lock:
            return int(self._engine.describe()["used_cache_bytes"])

    @property
    def n_requests(self) -> int:
        """Requests that have not ended: waiting, running or preempted."""
        with self.lock:
            described = self._engine.describe()
        return int(described["n_waiting"] + described["n_running"] + described["n_preempted"])

    @cached_property
    def fingerprint(self) -> str:
        """Hash of everything that determines keys and values, as 16 hexadecimal digits."""
        with self.lock:
            return f"{self._engine.fingerprint():016x}"

    def open_cached(self, ids: Sequence[int]) -> _native.Sequence:
        """Open a sequence of the longest cached prefix of `ids`: n_tokens, block_bytes, block(i) and more."""
        with self.lock:
            return self._engine.open_cached(_ids(ids))

    def snapshot_sizes(self, n_tokens: int, n_dropped: int) -> list[int]:
        """Bytes of each block of the snapshot of a text. Raises BadInput if the cache cannot hold it."""
        with self.lock:
            return list(self._engine.snapshot_sizes(n_tokens, n_dropped))

    def restore(self, ids: Sequence[int], n_dropped: int, blocks: Iterator[bytes]) -> None:
        """Restore the snapshot blocks of `ids` into the cache. Raises BadInput or OutOfMemory."""
        with self.lock:
            self._engine.restore(_ids(ids), n_dropped, blocks)

    def close(self) -> None:
        """Free weights and cache; later calls raise BadInput."""
        self._engine.close()


class NativeStepper:
    """A sequence that the caller decodes step by step. Implements `engine.contract.Stepper`."""

    def __init__(self, sequence: _native.Sequence, n_ctx: int, max_ctx: int, lock: FairLock) -> None:
        self._sequence, self._lock = sequence, lock
        self._limits = n_ctx, max_ctx

    @property
    def n_tokens(self) -> int:
        """Tokens of the sequence so far."""
        with self._lock:
            return int(self._sequence.n_tokens)

    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull."""
        with self._lock, with_limit(*self._limits):
            logits: NDArray[np.float32] = self._sequence.extend(_ids(ids))
            return logits

    def read(self, ids: Sequence[int]) -> None:
        """Append ids without computing logits. Raises ContextFull."""
        with self._lock, with_limit(*self._limits):
            self._sequence.read(_ids(ids))

    def rollback(self, n: int) -> None:
        """Remove the last n tokens."""
        with self._lock:
            self._sequence.rollback(n)

    def close(self) -> None:
        """Return the cache pages to the engine."""
        self._sequence.close()


def _shaped(rows: NDArray[np.float32], tap: TapPoint, heads: Sequence[int]) -> NDArray[np.float32]:
    """Convert rows with concatenated heads, [T, H * K], to the shape of the tap: [selected heads, T, K]."""
    if not heads:
        return rows
    import numpy as np

    n_heads, n_tokens, width = tap.shape
    return np.ascontiguousarray(rows.reshape(n_tokens, n_heads, width).swapaxes(0, 1)[list(heads)])


def _ids(ids: Sequence[int]) -> NDArray[np.int32]:
    """Token ids as an int32 buffer for the binding; avoids importing numpy for a plain list."""
    if isinstance(ids, list) and set(map(type, ids)) == {int} and 0 <= min(ids) <= max(ids) <= _MAX_ID:
        return cast("NDArray[np.int32]", array("i", ids))
    return _any_ids(ids)


def _any_ids(ids: Sequence[int]) -> NDArray[np.int32]:
    import numpy as np

    try:
        wide = np.asarray(ids)
    except (ValueError, OverflowError):  # lists of unequal lengths
        wide = np.empty((0, 0))
    if wide.shape == (0,):
        return np.empty(0, np.int32)
    if wide.ndim != 1 or wide.dtype.kind not in "iu" or wide.min() < 0 or wide.max() > _MAX_ID:
        raise BadInput("token ids must be a flat list of whole numbers of at least 0")
    return wide.astype(np.int32)


def _checked_isa(isa: str | None) -> str:
    if isa in (None, "", "auto"):
        return ""
    machine = _native.machine()
    if isa not in machine["isas"]:
        raise MachineError(f"this processor cannot run {isa}; it runs {', '.join(machine['isas'])}")
    return isa
