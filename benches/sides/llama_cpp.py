"""llama.cpp through the C interface of its Python package, with or without repacking and flash attention.

It decodes given tokens and does not sample, which zeropoint does, so the comparison slightly favours
llama.cpp.
"""

from __future__ import annotations

import ctypes
import re
import time
from collections.abc import Sequence
from typing import Any

from sides import SideOptions


def open_side(options: SideOptions) -> LlamaCpp:
    """The model, loaded; contexts are created on demand."""
    return LlamaCpp(options)


class LlamaCpp:
    """Implements `Side`, with one context for each number of sequences, because caches are laid out for it,
    and for each setting of flash attention.
    """

    def __init__(self, options: SideOptions) -> None:
        import llama_cpp

        self._c = llama_cpp
        self._options = options
        self._quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
        llama_cpp.llama_log_set(self._quiet, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        params = llama_cpp.llama_model_default_params()
        params.use_extra_bufts = options.repacks
        self._model = llama_cpp.llama_model_load_from_file(options.model.encode(), params)
        if not self._model:
            raise SystemExit(f"llama.cpp cannot load {options.model}")
        self._has_flash = False
        self._contexts: dict[tuple[int, bool], Any] = {}
        self._cached_prompts: dict[bool, list[int]] = {}

    def about(self) -> dict[str, object]:
        info = self._c.llama_print_system_info().decode()
        features = re.findall(r"(\w+) = 1", info)
        wide = [f for f in ("AVX512_VNNI", "AVX512", "AVX2", "NEON") if f in features]
        return {"name": "llama.cpp", "version": self._c.__version__, "isa": wide[0] if wide else "unknown"}

    def configure(self, settings: dict[str, bool]) -> None:
        """flash: use flash attention in the next measurements."""
        self._has_flash = settings["flash"]

    def prefill(self, prompt: Sequence[int]) -> float:
        context = self._empty(1)
        start = time.perf_counter()
        self._read(context, prompt, 0)
        return time.perf_counter() - start

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        if self._cached_prompts.get(self._has_flash) == list(
            prompt
        ):  # still cached from the last call: drop what followed it
            context = self._contexts[1, self._has_flash]
            self._c.llama_memory_seq_rm(self._c.llama_get_memory(context), 0, len(prompt), -1)
        else:
            context = self._empty(1)
            self._read(context, prompt, 0)
            self._cached_prompts[self._has_flash] = list(prompt)
        return self._steps(context, [prompt], n_new)

    def decode_together(self, prompts: Sequence[Sequence[int]], n_new: int) -> float:
        context = self._empty(len(prompts))
        for sequence, prompt in enumerate(prompts):
            self._read(context, prompt, sequence)
        return self._steps(context, prompts, n_new)

    def _steps(self, context: Any, prompts: Sequence[Sequence[int]], n_new: int) -> float:
        start = time.perf_counter()
        for step in range(n_new):
            rows = [(p[step % len(p)], len(p) + step, s, True) for s, p in enumerate(prompts)]
            self._decode(context, rows)
        return time.perf_counter() - start

    def _empty(self, n_sequences: int) -> Any:
        key = n_sequences, self._has_flash
        if n_sequences == 1:
            self._cached_prompts.pop(self._has_flash, None)
        if key not in self._contexts:
            params = self._c.llama_context_default_params()
            n_each = self._options.n_ctx if n_sequences == 1 else min(self._options.n_ctx, 256)
            params.n_ctx = n_each * n_sequences
            params.n_seq_max = n_sequences
            params.n_threads = params.n_threads_batch = self._options.threads
            flash = "ENABLED" if self._has_flash else "DISABLED"
            params.flash_attn_type = getattr(self._c, f"LLAMA_FLASH_ATTN_TYPE_{flash}")
            self._contexts[key] = self._c.llama_init_from_model(self._model, params)
        context = self._contexts[key]
        self._c.llama_memory_clear(self._c.llama_get_memory(context), True)
        return context

    def _read(self, context: Any, prompt: Sequence[int], sequence: int) -> None:
        n_batch = int(self._c.llama_n_batch(context))
        last = len(prompt) - 1
        for start in range(0, len(prompt), n_batch):
            part = prompt[start : start + n_batch]
            rows = [(token, start + i, sequence, start + i == last) for i, token in enumerate(part)]
            self._decode(context, rows)

    def _decode(self, context: Any, rows: Sequence[tuple[int, int, int, bool]]) -> None:
        """Rows: token, position, sequence, and whether to compute its logits."""
        batch = self._c.llama_batch_init(len(rows), 0, 1)
        batch.n_tokens = len(rows)
        for i, (token, position, sequence, wants_logits) in enumerate(rows):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wants_logits
        code = self._c.llama_decode(context, batch)
        self._c.llama_get_logits(context)  # waits until the logits are there
        self._c.llama_batch_free(batch)
        if code != 0:
            raise SystemExit(f"llama_decode returned {code}")
