"""Our engine through its `Engine` contract; the time includes greedy sampling and the events of each step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import zeropoint
from sides import SideOptions
from zeropoint import _native
from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import cache_bytes
from zeropoint.engine.contract import Event, Request
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.sampling.params import SamplingParams
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.open_model import open_model


def open_side(options: SideOptions) -> Zeropoint:
    """The engine with the model loaded."""
    opened = open_model(Path(options.model))
    if not isinstance(opened.file, GgufModel):
        raise SystemExit(f"{options.model} is not a GGUF file")
    return Zeropoint(opened.file, opened.blueprint, options)


class Zeropoint:
    """Implements `Side`, and also measures memory bandwidth."""

    def __init__(self, file: GgufModel, blueprint: Blueprint, options: SideOptions) -> None:
        self.engine = NativeEngine(
            file,
            blueprint,
            EngineOptions(context=options.n_ctx, threads=options.threads, isa=options.isa or None),
        )
        self.blueprint = blueprint
        # With an untied head, a token reads one row of the embedding only.
        head = [t.n_bytes for name, t in file.tensors.items() if name == "output.weight"]
        rows = file.tensors["token_embd.weight"].n_bytes if head else 0
        self.weight_bytes = sum(t.n_bytes for t in file.tensors.values()) - rows

    def about(self) -> dict[str, object]:
        machine = _native.machine()
        return {
            "name": "zeropoint",
            "version": zeropoint.__version__,
            "isa": self.engine.isa,
            "processor": machine["cpu"],
            "n_vocab": self.engine.n_vocab,
            "weight_bytes": self.weight_bytes,
            "cache_bytes_a_position": cache_bytes(self.blueprint, 1),
        }

    def bandwidth(self) -> float:
        """Bytes per second that our threads read from memory."""
        return float(_native.measure_bandwidth(self.engine.n_threads)[0])

    def prefill(self, prompt: Sequence[int]) -> float:
        start = time.perf_counter()
        self._submit(prompt, 1)
        self._until(1)
        return time.perf_counter() - start

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        return self.decode_together([prompt], n_new)

    def decode_together(self, prompts: Sequence[Sequence[int]], n_new: int) -> float:
        requests = [self._submit(prompt, 0) for prompt in prompts]
        self._until(len(prompts))
        start = time.perf_counter()
        for _ in range(n_new):
            self.engine.step()
        seconds = time.perf_counter() - start
        for request in requests:
            self.engine.cancel(request)
        self.engine.step()
        return seconds

    def _submit(self, prompt: Sequence[int], max_tokens: int) -> int:
        params = SamplingParams.of(temperature=0.0, max_tokens=max_tokens or None)
        return self.engine.submit(Request(prompt, params))

    def _until(self, n_first: int) -> None:
        """Step until n_first requests have their first token."""
        started: set[int] = set()
        while len(started) < n_first:
            events: list[Event] = self.engine.step()
            started |= {event.request for event in events if event.token is not None}
