"""CTranslate2 with a model converted by `ct2-transformers-converter --quantization int8`.

It cannot decode a fixed number of steps from a given cache, so only prefill is compared: a prompt of given
tokens and the first token after it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from sides import SideOptions


def open_side(options: SideOptions) -> CTranslate2:
    """Open the folder that the converter wrote."""
    return CTranslate2(options)


class CTranslate2:
    """Implements `Side` except decode."""

    def __init__(self, options: SideOptions) -> None:
        import ctranslate2

        self._version = ctranslate2.__version__
        self._words: list[str] = json.loads((Path(options.model) / "vocabulary.json").read_text("utf-8"))
        self._generator = ctranslate2.Generator(
            options.model, device="cpu", compute_type="int8", intra_threads=options.threads, inter_threads=1
        )

    def about(self) -> dict[str, object]:
        return {"name": "CTranslate2", "version": self._version, "isa": "int8", "kinds": ["prefill"]}

    def prefill(self, prompt: Sequence[int]) -> float:
        words = [self._words[token] for token in prompt]
        start = time.perf_counter()
        self._generator.generate_batch([words], max_length=1, include_prompt_in_result=False)
        return time.perf_counter() - start
