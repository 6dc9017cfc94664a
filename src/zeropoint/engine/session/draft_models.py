"""The draft models of a model, for speculation: loaded once, and used by all its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from zeropoint import _native
from zeropoint.decoding.draft_model import Choose, DraftModel
from zeropoint.decoding.speculator import FIRST_LAYERS
from zeropoint.engine.native.engine import NativeEngine, NativeStepper
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.sampling.params import SamplingParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from zeropoint.engine.session.model import Model

__all__ = ["DraftModels"]


class DraftModels:
    """Engines by the name that `speculate` gives them: "draft=MODEL" or "first-layers=N"."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._engines: dict[str, NativeEngine] = {}

    def drafter(self, name: str, params: SamplingParams, n_prompt: int) -> DraftModel:
        """A drafter for one answer. n_prompt: tokens of its prompt.

        Raises BadInput for a model that cannot be a draft, and what `load` raises.
        """
        return DraftModel(self.stepper(name), choice_of(params, n_prompt))

    def stepper(self, name: str) -> NativeStepper:
        """A new sequence of a draft model, which is loaded first if necessary. Raises as `drafter`."""
        if name not in self._engines:
            self._engines[name] = self._open(name)
        return self._engines[name].stepper()

    def close(self) -> None:
        """Free all draft models."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()

    def _open(self, name: str) -> NativeEngine:
        value = name.partition("=")[2]
        if name.startswith(FIRST_LAYERS):
            return self._first_layers(value)
        draft = self._model.load_other(
            value, context=self._model.engine.n_ctx, threads=self._model.engine.n_threads
        )
        ours, theirs = self._model.tokenizer, draft.tokenizer
        for token in range(max(ours.n_vocab, theirs.n_vocab)):
            if token >= min(ours.n_vocab, theirs.n_vocab) or (
                ours.token_bytes(token) != theirs.token_bytes(token)
            ):
                draft.close()
                raise BadInput(
                    f"{value} cannot guess for {self._model.name}: their vocabularies differ at token "
                    f"{token}; choose a smaller model of the same family"
                )
        return draft.engine

    def _first_layers(self, value: str) -> NativeEngine:
        model, blueprint = self._model, self._model.blueprint
        n = int(value) if value.isascii() and value.isdigit() else 0
        if not 0 < n < blueprint.n_layers:
            raise BadInput(
                f"speculate first-layers must be 1 to {blueprint.n_layers - 1}, as in first-layers="
                f"{max(1, blueprint.n_layers // 3)}; got {value[:40]!r}"
            )
        first = replace(blueprint, blocks=blueprint.blocks[:n])
        options = EngineOptions(context=model.engine.n_ctx, threads=model.engine.n_threads)
        return NativeEngine(model.file, first, options)


def choice_of(params: SamplingParams, n_prompt: int = 0) -> Choose:
    """How an answer chooses its tokens: the sampling steps and the random numbers of its seed."""
    import numpy as np

    seed = params.seed or 0
    sampler = _native.Sampler([(step.name, step.native_fields()) for step in params.active()], seed)

    def choose(logits_V: NDArray[np.float32], text: Sequence[int]) -> int:
        token = sampler.sample(
            np.ascontiguousarray(logits_V), np.asarray(text, np.int32), len(text), n_prompt
        )
        return token if token >= 0 else int(np.argmax(logits_V))

    return choose
