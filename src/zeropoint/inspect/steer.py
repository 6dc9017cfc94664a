"""Steering vectors: the difference between the residual streams of two contrasting texts.

Turner et al., "Activation Addition: Steering Language Models Without Optimization", 2023: take a text with
the desired property and one without, subtract their activations, and add the scaled difference while the
model reads and generates other text. As in Rimsky et al., "Steering Llama 2 via Contrastive Activation
Addition", 2023, we use the last token of both texts and modify every position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zeropoint.blueprint.interventions import AddVector
from zeropoint.engine.tap_requests import residual_tap
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["steering_vector"]


def steering_vector(
    model: Model, positive: str, negative: str, layer: int | None = None, scale: float = 1.0
) -> AddVector:
    """An intervention that adds scale * (stream of `positive` - stream of `negative`) after block `layer`.

    layer: by default the middle one. Raises BadInput for an unknown layer and for a text of one token: the
    activations of a sequence's first token are huge and do not depend on its meaning (Sun et al., "Massive
    Activations in Large Language Models", 2024).
    """
    point = residual_tap(model.blueprint, model.blueprint.n_layers // 2 if layer is None else layer)
    rows = []
    for text in (positive, negative):
        trace = model.trace(text, [point])
        if len(trace.token_ids) < 2:
            raise BadInput(
                f"a steering text needs at least 2 tokens; {text!r} has one, so write a longer text"
            )
        rows.append(trace[point][-1])
    return AddVector(point, rows[0] - rows[1], scale)
