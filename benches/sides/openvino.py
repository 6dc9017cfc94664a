"""OpenVINO GenAI, which reads GGUF files of a few architectures and formats and converts them when it
loads."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from sides import SideOptions


def open_side(options: SideOptions) -> OpenVino:
    """The model, converted and compiled."""
    return OpenVino(options)


class OpenVino:
    """Implements `Side` for a single sequence, by the library's own counters."""

    def __init__(self, options: SideOptions) -> None:
        import numpy
        import openvino
        import openvino_genai

        self._numpy, self._openvino, self._genai = numpy, openvino, openvino_genai
        self._pipeline = openvino_genai.LLMPipeline(
            options.model, "CPU", {"INFERENCE_NUM_THREADS": options.threads}
        )

    def about(self) -> dict[str, object]:
        kinds = ["prefill", "decode"]
        return {"name": "OpenVINO GenAI", "version": version("openvino-genai"), "isa": "", "kinds": kinds}

    def prefill(self, prompt: Sequence[int]) -> float:
        return float(self._generate(prompt, 1).get_ttft().mean) / 1000

    def decode(self, prompt: Sequence[int], n_new: int) -> float:
        return float(self._generate(prompt, n_new + 1).get_tpot().mean) / 1000 * n_new

    def _generate(self, prompt: Sequence[int], n_new: int) -> Any:
        config = self._genai.GenerationConfig()
        config.max_new_tokens, config.ignore_eos = n_new, True
        ids_1T = self._numpy.array([list(prompt)])
        ones_1T = self._numpy.ones_like(ids_1T)
        tensors = self._genai.TokenizedInputs(self._openvino.Tensor(ids_1T), self._openvino.Tensor(ones_1T))
        return self._pipeline.generate(tensors, config).perf_metrics
