"""`Inspection`: the part of `Model` that looks inside: logits, scores, taps, attention and the logit lens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.interventions import Intervention
from zeropoint.engine.contract import LogitLens, Stepper, Tap, Trace
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.session.process_bound import ProcessBound
from zeropoint.engine.session.prompt_ids import document_ids, text_ids
from zeropoint.engine.session.results import AttentionResult, LensResult
from zeropoint.engine.session.score import Score, named_ids, score
from zeropoint.engine.tap_requests import check_layer
from zeropoint.errors import BadInput
from zeropoint.tokenizers.core.tokenizer import Tokenizer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Inspection"]


class Inspection(ProcessBound):
    """What a model computes on the way to its answer. The base class of `Model`."""

    engine: NativeEngine
    blueprint: Blueprint
    tokenizer: Tokenizer

    def detokenize(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self.tokenizer.decode(ids)

    def logits(self, text: str | Sequence[int]) -> NDArray[np.float32]:
        """Logits after every token of a text (or token ids): float32 [T, V]. Raises ContextFull."""
        stepper = self.engine.stepper()
        try:
            return stepper.extend(self._document_ids(text))
        finally:
            stepper.close()

    def score(
        self,
        text: str | Sequence[int],
        *,
        top: int = 0,
        tokens: Sequence[str | int] = (),
        interventions: Sequence[Intervention] = (),
    ) -> Score:
        """Log-probability of every token of a text (or token ids), given those before it.

        top: also the `top` most probable tokens at each position. tokens: also these, by text (" Paris", with
        its space) or id. interventions: modify the forward pass. Raises BadInput, ContextFull.
        """
        ids = text_ids(self.tokenizer, text, self.engine.n_ctx) if isinstance(text, str) else list(text)
        if not ids:
            raise BadInput("there is no text to score")
        bos = self.tokenizer.bos_id
        start = [bos] if isinstance(text, str) and self.tokenizer.add_bos and bos is not None else []
        named = named_ids(self.tokenizer, tokens)
        result = score(
            self.engine,
            ids,
            start,
            self.blueprint.n_layers,
            top=top,
            tokens=named,
            interventions=interventions,
        )
        return replace(result, spelling=self.spelling(result.ids()))

    def spelling(self, ids: Iterable[int]) -> dict[int, str]:
        """The text of each token id on its own."""
        return {index: self.detokenize([index]) for index in set(ids)}

    def trace(
        self,
        text: str | Sequence[int],
        taps: Sequence[str | Tap] = (),
        *,
        lens: LogitLens | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> Trace:
        """Record intermediate tensors of one forward pass over a text (or token ids).

        taps: names such as "blocks.3.attention.weights", where `*` matches any text, or `Tap` to choose
        heads. lens: also the logit lens, as in `lens`. interventions: modify the pass; the taps record the
        modified tensors. Raises BadInput for an unknown tap, layer, head or token; ContextFull.
        """
        return self.engine.trace(self._document_ids(text), taps, lens=lens, interventions=interventions)

    def attention(
        self,
        text: str | Sequence[int],
        layer: int,
        heads: Sequence[int] | None = None,
        *,
        interventions: Sequence[Intervention] = (),
    ) -> AttentionResult:
        """Attention weights of a layer: float32 [heads, T, T]; a row (a query) sums to 1, less with a sink.

        A notebook shows the result as heat maps; index it, or pass it to numpy, as an array.
        """
        check_layer(self.blueprint, layer)
        point = f"blocks.{layer}.attention.weights"
        trace = self.trace(text, [Tap(point, heads)], interventions=interventions)
        weights = trace[point]
        chosen = list(heads) if heads else list(range(len(weights)))
        texts = [self.detokenize([index]) for index in trace.token_ids]
        return AttentionResult(layer, chosen, texts, weights)

    def lens(
        self,
        text: str | Sequence[int],
        layers: Sequence[int] | None = None,
        *,
        top: int = 5,
        tokens: Sequence[str | int] = (),
        logits: bool = False,
        interventions: Sequence[Intervention] = (),
    ) -> LensResult:
        """The logit lens: predictions of the final norm and head after each layer (by default all).

        top: the most probable tokens at each position. tokens: also these, by text (" Paris") or id.
        logits: also all logits, [T, V] per layer. Iterate over the result for one `LogitLensRows` per layer;
        a notebook shows it as a table.
        """
        chosen = range(self.blueprint.n_layers) if layers is None else layers
        named = named_ids(self.tokenizer, tokens)
        lens = LogitLens(list(chosen), top, named, logits)
        trace = self.trace(text, lens=lens, interventions=interventions)
        listed = {index for rows in trace.lens for index in rows.top_ids.ravel().tolist()}
        spelling = self.spelling(listed | set(named) | set(trace.token_ids))
        return LensResult([spelling[index] for index in trace.token_ids], named, spelling, trace.lens)

    def stepper(self, interventions: Sequence[Intervention] = ()) -> Stepper:
        """A new sequence to decode step by step: `extend(ids) -> logits`, `rollback(n)`."""
        return self.engine.stepper(interventions)

    def _document_ids(self, text: str | Sequence[int]) -> list[int]:
        return document_ids(self.tokenizer, text, self.engine.n_ctx)
