"""Hugging Face transformers in float32 with its own KV cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sides import SideOptions


def open_side(options: SideOptions) -> Transformers:
    """Open a Hugging Face folder."""
    return Transformers(options)


class Transformers:
    """Implements `Side` for prefill and a single sequence."""

    def __init__(self, options: SideOptions) -> None:
        import torch
        import transformers

        torch.set_num_threads(options.threads)
        torch.set_grad_enabled(False)
        self._torch, self._version = torch, transformers.__version__
        load = transformers.AutoModelForCausalLM.from_pretrained
        self._model = load(options.model, dtype=torch.float32).eval()

    def about(self) -> dict[str, object]:
        return {
            "name": "transformers",
            "version": self._version,
            "isa": "float32",
            "kinds": ["prefill", "decode"],
        }

    def prefill(self, prompt: Sequence[int]) -> float:
        start = time.perf_counter()
        self._read(prompt)
        return time.perf_counter() - start

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        cache = self._read(prompt).past_key_values
        start = time.perf_counter()
        for step in range(n_new):
            token = self._torch.tensor([[prompt[step % len(prompt)]]])
            cache = self._model(token, past_key_values=cache, use_cache=True).past_key_values
        return time.perf_counter() - start

    def _read(self, prompt: Sequence[int]) -> Any:
        ids = self._torch.tensor([list(prompt)])
        return self._model(ids, use_cache=True, logits_to_keep=1)
