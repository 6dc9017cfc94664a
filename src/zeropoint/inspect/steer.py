"""A steering vector from two texts: the residual stream after one, less that after the other.

Turner et al., "Activation Addition: Steering Language Models Without Optimization", 2023: the difference of
a text that has what is wanted and of one that lacks it, times a factor, is added while the model reads and
writes something else. Here the last tokens of both texts are taken, and every position is changed, as in
Rimsky et al., "Steering Llama 2 via Contrastive Activation Addition", 2023.
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
    """What to give as a tap: scale * (stream of `positive` - stream of `negative`), after block `layer`.

    layer: by default the middle one. Raises BadInput for a layer that is not there, and for a text of one
    token: what the stream of a sequence's first token holds is huge and says nothing of it (Sun et al.,
    "Massive Activations in Large Language Models", 2024).
    """
    point = residual_tap(model.blueprint, model.blueprint.n_layers // 2 if layer is None else layer)
    rows = []
    for text in (positive, negative):
        seen = model.trace(text, [point])
        if len(seen.token_ids) < 2:
            raise BadInput(f"steering reads a text by its last token; {text!r} has but one, write more")
        rows.append(seen[point][-1])
    return AddVector(point, rows[0] - rows[1], scale)
