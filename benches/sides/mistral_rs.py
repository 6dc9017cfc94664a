"""mistral.rs through its Python package, which takes text: prompts are words, and its own counters say how
many tokens they were and how long each phase took.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sides import SideOptions


def open_side(options: SideOptions) -> MistralRs:
    """The model, loaded."""
    return MistralRs(options)


class MistralRs:
    """Implements `Side` for a single sequence."""

    def __init__(self, options: SideOptions) -> None:
        os.environ["RAYON_NUM_THREADS"] = str(options.threads)  # read when the library starts
        import mistralrs

        self._library = mistralrs
        path = Path(options.model)
        which = mistralrs.Which.GGUF(quantized_model_id=str(path.parent), quantized_filename=path.name)
        self._runner = mistralrs.Runner(which=which, prefix_cache_n=0)
        self._tokens_a_word = self._request(["a"] * 64, 1).prompt_tokens / 64

    def about(self) -> dict[str, object]:
        kinds = ["prefill", "decode"]
        return {"name": "mistral.rs", "version": version("mistralrs"), "isa": "", "kinds": kinds}

    def prefill(self, prompt: Sequence[int]) -> float:
        usage = self._request(self._words(prompt), 1)
        return float(usage.total_prompt_time_sec * len(prompt) / usage.prompt_tokens)

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        usage = self._request(self._words(prompt), n_new)
        return float(usage.total_completion_time_sec * n_new / usage.completion_tokens)

    def _words(self, prompt: Sequence[int]) -> list[str]:
        """As many words of one letter as give about as many tokens, different for each prompt."""
        rng = random.Random(prompt[0])
        return [rng.choice("abcdefgh") for _ in range(round(len(prompt) / self._tokens_a_word))]

    def _request(self, words: Sequence[str], max_tokens: int) -> Any:
        request = self._library.CompletionRequest(
            prompt=" ".join(words), model="", max_tokens=max_tokens, temperature=0.0, ignore_eos=True
        )
        return self._runner.send_completion_request(request).usage
