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
from zeropoint.engine.contract import Event, LogitLens, LogitLensRows, Request, Tap, Trace
from zeropoint.engine.machine import available_memory_bytes, default_threads
from zeropoint.engine.native.kv_cache import native_cache
from zeropoint.engine.native.model_spec import native_plan, stored_tensors
from zeropoint.engine.tap_requests import check_lens, native_points, wanted_reads
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, ContextFull, MachineError
from zeropoint.weights.gguf.model import GgufModel

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NativeEngine", "NativeStepper"]

_LARGEST_ID = 2**31 - 1


class NativeEngine:
    """A GGUF model in memory, ready to run. Fulfils `engine.contract.Engine`.

    n_ctx: tokens a sequence may have, which with a window is without end; n_vocab: tokens; is_exact: float
    activations and cache.
    """

    def __init__(
        self,
        model: GgufModel,
        blueprint: Blueprint,
        options: EngineOptions | None = None,
        *,
        make: Callable[..., _native.Engine] = _native.Engine,
    ) -> None:
        """Read the weights. options.context: the cache holds the model's own context without one.

        make: builds the extension's engine; `engine/session/parallel_load.py` does more meanwhile.

        Raises BadInput, BadModelFile, OutOfMemory, DiskError, MachineError (no such ISA).
        """
        options = options or EngineOptions()
        n_ctx = options.context or blueprint.n_ctx
        self.n_vocab = blueprint.n_vocab
        self._blueprint = blueprint
        free = available_memory_bytes()
        left = None if free is None else max(0, free - sum(t.n_bytes for t in model.tensors.values()))
        keeps = native_cache(options, blueprint, n_ctx, left)
        self._engine = make(
            [os.fsencode(path) for path in model.paths],
            native_plan(blueprint, n_ctx),
            stored_tensors(model, blueprint),
            options.threads or default_threads(),
            _checked_isa(options.isa),
            options.exact,
            keeps,
        )
        described = self._engine.describe()
        self.isa: str = described["isa"]
        self.n_threads: int = described["n_threads"]
        self.is_exact: bool = described["is_exact"]
        self.weight_bytes: int = described["weight_bytes"]
        self.cache_bytes: int = described["cache_bytes"]
        self.page_bytes: int = described["page_bytes"]
        self.n_ctx: int = described["most_tokens"]
        window = f", window {keeps['window']}, sinks {keeps['sinks']}" if keeps["window"] else ""
        self.cache_name = f"{keeps['cache_type']}{window}"

    def submit(self, request: Request) -> int:
        """Queue a request, returning its number. Raises ContextFull or BadInput."""
        params = request.params
        prompt = _ids(request.prompt_ids)
        if len(prompt) >= self.n_ctx:
            raise ContextFull(
                f"the prompt has {len(prompt)} tokens and the context holds {self.n_ctx}; "
                "shorten it or load the model with a larger context"
            )
        return int(
            self._engine.submit(
                prompt,
                [(step.name, step.fields()) for step in params.active()],
                int.from_bytes(os.urandom(8)) if params.seed is None else params.seed,
                list(request.stop_ids),
                params.max_tokens or 0,
                request.wants_logprobs,
                self._edits(request.interventions),
            )
        )

    def cancel(self, request: int) -> None:
        """End a request; its last Event has finish "cancelled". Unknown numbers are ignored."""
        self._engine.cancel(request)

    def step(self) -> list[Event]:
        """Advance every running request: one chunk of its prompt, or one token."""
        return [Event(*values) for values in self._engine.step()]

    def score(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Natural-log probability of ids[1:], each given all before it: float32 [T - 1]."""
        wanted = _ids(ids)
        if len(wanted) > self.n_ctx + 1:
            raise ContextFull(
                f"the text has {len(wanted)} tokens and the context holds {self.n_ctx}; "
                "shorten it or load the model with a larger context"
            )
        scores: NDArray[np.float32] = self._engine.score(wanted)
        return scores

    def trace(
        self,
        ids: Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """What is seen while ids are read from an empty cache. reads: `*` in a name stands for anything.

        This engine shows `seeing.native_points`; its threads meet at every point that is wanted. Raises
        BadInput for a point, layer, head or token that is not there, and for more than memory should hold.
        """
        text, lens = self._within(_ids(ids)), lens or LogitLens(())
        wanted = wanted_reads(self._blueprint, len(text), taps, native_points(self._blueprint))
        check_lens(self._blueprint, len(text), lens)
        rows, layers = self._engine.trace(
            text,
            [
                (*split_point(name), heads if name.endswith(".weights") else [])
                for name, (_, heads) in wanted.items()
            ],
            (list(lens.layers), lens.top, list(lens.tokens), lens.has_logits),
            self._edits(interventions),
        )
        points = {
            name: array if name.endswith(".weights") else _shaped(array, tap, heads)
            for array, (name, (tap, heads)) in zip(rows, wanted.items(), strict=True)
        }
        lenses = [LogitLensRows(layer, **found) for layer, found in zip(lens.layers, layers, strict=True)]
        return Trace([int(token) for token in text], points, lenses)

    def stepper(self, interventions: Sequence[Intervention] = ()) -> NativeStepper:
        """A fresh sequence to decode by hand. taps: how all its passes are changed."""
        return NativeStepper(self._engine.open_sequence(self._edits(interventions)), self.n_ctx)

    def _edits(
        self, interventions: Sequence[Intervention]
    ) -> list[tuple[str, int, int, int, int, int, float, list[float]]]:
        return [
            (*split_point(e.point), e.first, e.end, e.column, e.n_columns, e.factor, list(e.addend))
            for e in compile_interventions(self._blueprint, interventions)
        ]

    def _within(self, ids: NDArray[np.int32]) -> NDArray[np.int32]:
        if len(ids) > self.n_ctx:
            raise ContextFull(
                f"the text has {len(ids)} tokens and the context holds {self.n_ctx}; "
                "shorten it or load the model with a larger context"
            )
        return ids

    @property
    def used_cache_bytes(self) -> int:
        """Bytes of the pages that are held now, idle ones included."""
        return int(self._engine.describe()["used_cache_bytes"])

    @cached_property
    def fingerprint(self) -> str:
        """Tells models apart, of everything that keys and values are computed with: 16 hexadecimal digits."""
        return f"{self._engine.fingerprint():016x}"

    def open_cached(self, ids: Sequence[int]) -> _native.Sequence:
        """A sequence of as much of `ids` as the cache holds: n_tokens, n_dropped, n_pages, page(i)."""
        return self._engine.open_cached(_ids(ids))

    def restore(self, ids: Sequence[int], n_dropped: int, pages: Iterator[bytes]) -> None:
        """Put the pages of `ids` back into the cache. Raises BadInput, OutOfMemory."""
        self._engine.restore(_ids(ids), n_dropped, pages)

    def close(self) -> None:
        """Free weights and cache; any later call raises BadInput."""
        self._engine.close()


class NativeStepper:
    """One sequence under the caller's control. Fulfils `engine.contract.Stepper`."""

    def __init__(self, sequence: _native.Sequence, n_ctx: int) -> None:
        self._sequence = sequence
        self._n_ctx = n_ctx

    @property
    def n_tokens(self) -> int:
        """Tokens of the sequence so far."""
        return int(self._sequence.n_tokens)

    def extend(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Append ids and return the logits after each: float32 [T, V]. Raises ContextFull."""
        more = _ids(ids)
        n_tokens = self.n_tokens + len(more)
        if n_tokens > self._n_ctx:
            raise ContextFull(
                f"the sequence would have {n_tokens} tokens and the context holds {self._n_ctx}; "
                "roll back, or load the model with a larger context"
            )
        logits: NDArray[np.float32] = self._sequence.extend(more)
        return logits

    def rollback(self, n: int) -> None:
        """Forget the last n tokens."""
        self._sequence.rollback(n)

    def close(self) -> None:
        """Give the cache back to the engine."""
        self._sequence.close()


def _shaped(rows: NDArray[np.float32], tap: TapPoint, heads: Sequence[int]) -> NDArray[np.float32]:
    """Rows hold heads side by side, [T, H * K]; a tap has them first: [chosen heads, T, K]."""
    if not heads:
        return rows
    import numpy as np

    n_heads, n_tokens, width = tap.shape
    return np.ascontiguousarray(rows.reshape(n_tokens, n_heads, width).swapaxes(0, 1)[list(heads)])


def _ids(ids: Sequence[int]) -> NDArray[np.int32]:
    """Token ids for the binding, which takes any buffer of int32: a plain list needs no numpy."""
    if isinstance(ids, list) and set(map(type, ids)) == {int} and 0 <= min(ids) <= max(ids) <= _LARGEST_ID:
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
    if wide.ndim != 1 or wide.dtype.kind not in "iu" or wide.min() < 0 or wide.max() > _LARGEST_ID:
        raise BadInput("token ids must be a flat list of whole numbers, none below 0")
    return wide.astype(np.int32)


def _checked_isa(isa: str | None) -> str:
    if isa in (None, "", "auto"):
        return ""
    machine = _native.machine()
    if isa not in machine["isas"]:
        raise MachineError(f"this processor cannot run {isa}; it runs {', '.join(machine['isas'])}")
    return isa
