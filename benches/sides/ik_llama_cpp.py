"""ik_llama.cpp through the C interface of `ik-llama-cpp-python`, with its defaults: flash attention, and
weights repacked while it multiplies.

The package's wheel is built for AVX2; build its source distribution with CMAKE_ARGS=-DGGML_NATIVE=ON to use
what the machine has. (0.1.5 lacks `common/cmake/build-info-gen-cpp.cmake`; any script that configures
`build-info.cpp.in` does.)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from sides import SideOptions


def open_side(options: SideOptions) -> IkLlamaCpp:
    """The model, loaded; contexts are created on demand."""
    return IkLlamaCpp(options)


class IkLlamaCpp:
    """Implements `Side`, with one context for each number of sequences."""

    def __init__(self, options: SideOptions) -> None:
        from ik_llama_cpp import _ctypes_api, _internals

        self._c, self._internals, self._options = _ctypes_api, _internals, options
        self._model = _internals.IkModel(options.model)
        self._contexts: dict[int, Any] = {}

    def about(self) -> dict[str, object]:
        kinds = ["prefill", "decode"]  # with several sequences, its flash attention stops (0.1.5)
        return {"name": "ik_llama.cpp", "version": version("ik-llama-cpp-python"), "isa": "", "kinds": kinds}

    def prefill(self, prompt: Sequence[int]) -> float:
        context = self._empty(1)
        start = time.perf_counter()
        self._read(context, prompt, 0)
        return time.perf_counter() - start

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        return self.decode_together([prompt], n_new)

    def decode_together(self, prompts: Sequence[Sequence[int]], n_new: int) -> float:
        context = self._empty(len(prompts))
        for sequence, prompt in enumerate(prompts):
            self._read(context, prompt, sequence)
        start = time.perf_counter()
        for step in range(n_new):
            rows = [(p[step % len(p)], len(p) + step, s, True) for s, p in enumerate(prompts)]
            self._decode(context, rows)
        return time.perf_counter() - start

    def _empty(self, n_sequences: int) -> Any:
        if n_sequences not in self._contexts:
            n_each = self._options.n_ctx if n_sequences == 1 else min(self._options.n_ctx, 256)
            self._contexts[n_sequences] = self._internals.IkContext(
                self._model,
                n_ctx=n_each * n_sequences,
                n_threads=self._options.threads,
                n_seq_max=n_sequences,
            )
        context = self._contexts[n_sequences]
        context.kv_cache_clear()
        return context

    def _read(self, context: Any, prompt: Sequence[int], sequence: int) -> None:
        last = len(prompt) - 1
        for start in range(0, len(prompt), 512):
            part = prompt[start : start + 512]
            rows = [(token, start + i, sequence, start + i == last) for i, token in enumerate(part)]
            self._decode(context, rows)

    def _decode(self, context: Any, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Rows: token, position, sequence, and whether to compute its logits."""
        batch = self._c.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wants_logits) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wants_logits
        code = context.decode(batch)
        context.get_logits(len(rows) - 1)  # waits until the logits are there
        self._c.llama_batch_free(batch)
        if code != 0:
            raise SystemExit(f"ik_llama.cpp's llama_decode returned {code}")
